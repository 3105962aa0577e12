// The fields of GPTQModifier, with its defaults; actorder belongs to the scheme.
import type { GptqPlan } from '../../../../schemas/src/generated/plan.js';
import { booleanOf, integerOf, numberOf } from '../../recipe/coerce.js';
import type { QuantizerFields } from './quantizer-plan.js';

export const gptqPlan: QuantizerFields<GptqPlan> = (body) => ({
  block_size: integerOf(body['block_size'], 128),
  dampening_frac: numberOf(body['dampening_frac'], 0.01),
  offload_hessians: booleanOf(body['offload_hessians'], false),
});
