// Schemes that parse and that no checkpoint can hold as meant: weights whose scales are not kept, 4-bit floats in groups that no format packs.
import { isEncoded } from '../../../schemas/src/encoded-weights.js';
import type { QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import type { Check } from './check.js';

export const schemeNotStorable: Check = {
  code: 'scheme-not-storable',
  run: ({ quantization }) =>
    quantization.flatMap(({ groups }) =>
      groups.flatMap(({ scheme, path, name }) => {
        const found = scheme === null ? null : obstacle(scheme);
        if (found === null) return [];
        return [
          {
            code: 'scheme-not-storable',
            severity: 'warning' as const,
            path: path.includes('config_groups') ? [...path, 'weights'] : path,
            at: 'key' as const,
            message: `${name}: ${found}`,
          },
        ];
      }),
    ),
};

function obstacle({ weights }: QuantizationScheme): string | null {
  if (weights === null || isEncoded(weights)) return null;
  if (weights.dynamic !== false)
    return 'weights with dynamic scales are stored without scales, so nothing can read them back; llm-compressor takes it without a word. Set dynamic: false, and a strategy other than token.';
  if (weights.type === 'float' && weights.num_bits === 4 && weights.group_size !== 16 && weights.group_size !== 32)
    return `4-bit floats with ${weights.group_size === null ? `strategy ${weights.strategy}` : `group_size ${weights.group_size}`} fit no packed format and are stored in 8 bits or more each. Use strategy tensor_group with group_size 16 (NVFP4), or group with 32 (MXFP4).`;
  return null;
}
