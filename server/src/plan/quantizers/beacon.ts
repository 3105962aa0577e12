// The fields of BeaconModifier, with its defaults.
import type { BeaconPlan } from '../../../../schemas/src/generated/plan.js';
import { booleanOf, integerOf, numberOf } from '../../recipe/coerce.js';
import type { QuantizerFields } from './quantizer-plan.js';

export const beaconPlan: QuantizerFields<BeaconPlan> = (body) => ({
  n_sweeps: integerOf(body['n_sweeps'], 4),
  error_correction: booleanOf(body['error_correction'], false),
  correction_strength: numberOf(body['correction_strength'], 0.5),
  centering: booleanOf(body['centering'], true),
  second_start: booleanOf(body['second_start'], true),
  dampening_frac: numberOf(body['dampening_frac'], 0.01),
});
