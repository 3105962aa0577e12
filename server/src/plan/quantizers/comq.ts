// The fields of COMQModifier, with its default.
import type { ComqPlan } from '../../../../schemas/src/generated/plan.js';
import { integerOf } from '../../recipe/coerce.js';
import type { QuantizerFields } from './quantizer-plan.js';

export const comqPlan: QuantizerFields<ComqPlan> = (body) => ({ n_iters: integerOf(body['n_iters'], 3) });
