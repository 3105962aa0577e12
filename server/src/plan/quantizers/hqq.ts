// The fields of HQQModifier, with the defaults of its authors' code.
import type { HqqPlan } from '../../../../schemas/src/generated/plan.js';
import { integerOf, numberOf } from '../../recipe/coerce.js';
import type { QuantizerFields } from './quantizer-plan.js';

export const hqqPlan: QuantizerFields<HqqPlan> = (body) => ({
  lp_norm: numberOf(body['lp_norm'], 0.7),
  beta: numberOf(body['beta'], 10),
  kappa: numberOf(body['kappa'], 1.01),
  iters: integerOf(body['iters'], 20),
});
