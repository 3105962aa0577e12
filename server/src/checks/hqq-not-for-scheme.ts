// HQQModifier on a scheme that it has no arithmetic for: floats, and one scale for a whole tensor.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { saidArgs } from '../plan/said-observers.js';
import type { Check } from './check.js';

export const hqqNotForScheme: Check = {
  code: 'hqq-not-for-scheme',
  run: ({ quantization }) =>
    quantization
      .filter(({ modifier }) => modifier.name === 'HQQModifier')
      .flatMap(({ modifier, groups }) =>
        groups.flatMap((group) => {
          const weights = group.scheme?.weights ?? null;
          const why = weights === null ? null : obstacle(weights);
          if (why === null) return [];
          return [
            {
              code: 'hqq-not-for-scheme',
              severity: 'error' as const,
              path: saidArgs(modifier, group, 'weights')?.path ?? group.path,
              at: 'value' as const,
              message: `HQQModifier solves for the scales of integers per channel or per group, and ${group.name} has ${why}. Use such a scheme, for example W4A16_ASYM, or QuantizationModifier for this one.`,
            },
          ];
        }),
      ),
};

function obstacle({ type, num_bits, strategy }: QuantizationArgs): string | null {
  if (type === 'float') return `floats of ${num_bits} bits`;
  return strategy === 'channel' || strategy === 'group' ? null : `strategy ${strategy}`;
}
