// The fields of QronosModifier, with its defaults.
import type { QronosPlan } from '../../../../schemas/src/generated/plan.js';
import { integerOf, numberOf } from '../../recipe/coerce.js';
import type { QuantizerFields } from './quantizer-plan.js';

export const qronosPlan: QuantizerFields<QronosPlan> = (body) => ({
  block_size: integerOf(body['block_size'], 128),
  dampening_frac: numberOf(body['dampening_frac'], 0.01),
});
