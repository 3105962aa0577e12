// A scheme that parses and this version can neither compute nor store.
import type { QuantizationArgs, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import type { Check } from './check.js';

const weightObservers = ['memoryless_minmax', 'memoryless_mse'];
const inputObservers = ['memoryless_minmax', 'static_minmax', 'minmax'];

function obstacle({ weights, input_activations: inputs, output_activations: outputs, format }: QuantizationScheme): string | null {
  const badInteger = (args: QuantizationArgs): boolean => args.type !== 'int' || args.num_bits > 8;
  if (weights !== null && badInteger(weights)) return `weights of ${weights.num_bits} bits of type ${weights.type}`;
  if (weights !== null && !['tensor', 'channel', 'group'].includes(weights.strategy)) return `weights with strategy ${weights.strategy}`;
  if (weights !== null && weights.dynamic !== false) return 'weights with dynamic scales';
  if (weights !== null && weights.observer !== null && !weightObservers.includes(weights.observer))
    return `the weight observer ${weights.observer}`;
  if (outputs !== null) return 'output_activations';
  if (inputs !== null && weights === null) return 'input_activations without weights';
  if (inputs !== null && badInteger(inputs)) return `inputs of ${inputs.num_bits} bits of type ${inputs.type}`;
  if (inputs !== null && inputs.dynamic !== true && inputs.strategy !== 'tensor')
    return `calibrated inputs with strategy ${inputs.strategy}`;
  if (inputs !== null && inputs.dynamic === true && inputs.strategy !== 'token' && inputs.strategy !== 'tensor')
    return `inputs at run time with strategy ${inputs.strategy}`;
  if (inputs !== null && inputs.observer !== null && !inputObservers.includes(inputs.observer))
    return `the input observer ${inputs.observer}`;
  if (weights !== null && format !== 'pack-quantized' && format !== 'int-quantized') return `the format ${format}`;
  return null;
}

export const schemeNotRunnableYet: Check = {
  code: 'scheme-not-runnable-yet',
  run: ({ quantization }) =>
    quantization.flatMap(({ modifier, groups }) => [
      ...groups.flatMap(({ scheme, path, name }) => {
        const found = scheme === null ? null : obstacle(scheme);
        return found === null
          ? []
          : [
              {
                code: 'scheme-not-runnable-yet',
                severity: 'error' as const,
                path,
                at: 'value' as const,
                message: `${name} asks for ${found}, which this version of Bitwright cannot run. It runs integer weights of 1 to 8 bits (tensor, channel, group) with inputs in 16 bits, per token at run time, or per tensor calibrated.`,
              },
            ];
      }),
      ...(modifier.body['kv_cache_scheme'] === undefined || modifier.body['kv_cache_scheme'] === null
        ? []
        : [
            {
              code: 'scheme-not-runnable-yet',
              severity: 'error' as const,
              path: [...modifier.path, 'kv_cache_scheme'],
              at: 'key' as const,
              message: 'kv_cache_scheme cannot be run by this version of Bitwright. Remove it, or run the recipe with llm-compressor.',
            },
          ]),
    ]),
};
