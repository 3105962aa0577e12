// A gate on a size that is known before the run and lies above it: the run would end with an error.
import { gateFacts, gateText, holds } from '../../../schemas/src/quality-gates.js';
import { estimateOf, gatesPlan } from '../plan/build-plan.js';
import type { Check } from './check.js';

export const gateCannotHold: Check = {
  code: 'gate-cannot-hold',
  run(resolution) {
    const gates = gatesPlan(resolution.document);
    if (resolution.model === null || gates === null) return [];
    const { weights_bytes_before, weights_bytes_after, bits_per_weight } = estimateOf(resolution);
    const size = { weights_bytes_before, weights_bytes_after, bits_per_weight };
    return gateFacts.flatMap((facts) => {
      const limit = gates[facts.key];
      const value = facts.measuredBy === null ? facts.valueOf({ size, quality: null }) : null;
      if (limit === null || value === null || holds(facts, value, limit)) return [];
      return [
        {
          code: 'gate-cannot-hold',
          severity: 'error' as const,
          path: ['gates', facts.key],
          at: 'value' as const,
          message: `${gateText({ facts, limit, value })}. Use fewer bits or larger groups, quantize more layers, or raise the gate.`,
        },
      ];
    });
  },
};
