// A scheme that parses and this version can neither compute nor store.
import { isEncoded } from '../../../schemas/src/encoded-weights.js';
import type { QuantizationArgs, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { observersOf } from '../plan/observers.js';
import type { Resolution } from '../plan/resolution.js';
import type { Check } from './check.js';

const weightObservers = observersOf('weights');
const inputObservers = observersOf('inputs');

/** Groups of 32 under a power of two. */
const isMx = ({ group_size, scale_dtype }: QuantizationArgs): boolean => group_size === 32 && (scale_dtype ?? '').endsWith('uint8');
/** Groups of 16 under an FP8 scale and a global one. */
const isNvfp4 = ({ num_bits, strategy, group_size, scale_dtype }: QuantizationArgs): boolean =>
  num_bits === 4 && strategy === 'tensor_group' && group_size === 16 && (scale_dtype ?? '').endsWith('float8_e4m3fn');

/** What is special about a grid, null where it is one that is computed. */
function gridObstacle(args: QuantizationArgs): string | null {
  const { type, num_bits, symmetric, strategy, scale_dtype } = args;
  const bits = `${num_bits} bits of type ${type}`;
  if (type === 'int') return num_bits > 8 ? bits : null;
  if (!symmetric) return `${bits} that are not symmetric`;
  if (isMx(args)) return strategy === 'group' ? null : `${bits} in strategy ${strategy} with scale_dtype ${scale_dtype}`;
  if (num_bits === 4)
    return isNvfp4(args) ? null : `${bits} in strategy ${strategy}, group_size ${args.group_size}, scale_dtype ${scale_dtype}`;
  if (strategy === 'tensor_group') return `${bits} in strategy tensor_group`;
  return scale_dtype === null ? null : `${bits} with scale_dtype ${scale_dtype}`;
}

/** The formats that hold a grid. */
function formatsOf(weights: QuantizationArgs): readonly QuantizationScheme['format'][] {
  if (weights.type === 'int') return ['pack-quantized', 'int-quantized'];
  if (isNvfp4(weights)) return ['nvfp4-pack-quantized'];
  if (isMx(weights)) return [weights.num_bits === 4 ? 'mxfp4-pack-quantized' : 'mxfp8-quantized'];
  return ['float-quantized', 'naive-quantized'];
}

function weightObstacle(weights: QuantizationArgs, format: QuantizationScheme['format']): string | null {
  if (isEncoded(weights)) return null;
  const grid = gridObstacle(weights);
  if (grid !== null) return `weights of ${grid}`;
  const strategies = weights.type === 'int' ? ['tensor', 'channel', 'group'] : ['tensor', 'channel', 'group', 'tensor_group', 'block'];
  if (!strategies.includes(weights.strategy)) return `weights with strategy ${weights.strategy}`;
  if (weights.dynamic !== false) return 'weights with dynamic scales';
  if (weights.observer !== null && !weightObservers.includes(weights.observer)) return `the weight observer ${weights.observer}`;
  if (weights.type === 'float' && weights.num_bits === 4 && weights.actorder === 'group')
    return `weights of 4 bits of type float with actorder group, whose order ${format} cannot hold`;
  return formatsOf(weights).includes(format) ? null : `the format ${format}`;
}

function inputObstacle(inputs: QuantizationArgs): string | null {
  const { strategy, dynamic, observer } = inputs;
  const grid = gridObstacle(inputs);
  if (grid !== null) return `inputs of ${grid}`;
  if (dynamic === false && (strategy !== 'tensor' || isMx(inputs))) return `calibrated inputs with strategy ${strategy}`;
  const strategies = inputs.type === 'int' ? ['token', 'tensor'] : ['token', 'tensor', 'group'];
  if (dynamic === true && !strategies.includes(strategy)) return `inputs at run time with strategy ${strategy}`;
  if (dynamic === 'local' && !isNvfp4(inputs)) return `inputs with dynamic: local of ${inputs.num_bits} bits of type ${inputs.type}`;
  if (inputs.type === 'float' && (observer === 'entropy' || observer === 'histogram'))
    return `inputs of floats with the observer ${observer}, which is for integers`;
  if (!inputs.symmetric && observer === 'entropy') return 'asymmetric inputs with the observer entropy, which is for symmetric ones';
  return observer !== null && !inputObservers.includes(observer) ? `the input observer ${observer}` : null;
}

function obstacle({ weights, input_activations: inputs, output_activations: outputs, format }: QuantizationScheme): string | null {
  const inWeights = weights === null ? null : weightObstacle(weights, format);
  if (inWeights !== null) return inWeights;
  if (outputs !== null) return 'output_activations';
  if (inputs !== null && weights === null) return 'input_activations without weights';
  return inputs === null ? null : inputObstacle(inputs);
}

/** AWQ's search rounds as round-to-nearest on an integer grid would. */
const searchObstacle = ({ weights }: QuantizationScheme, modifiers: Resolution['modifiers']): string | null =>
  weights?.type === 'float' && modifiers.some(({ name }) => name === 'AWQModifier')
    ? `weights of ${weights.num_bits} bits of type float behind AWQModifier, whose search knows integers alone`
    : null;

export const schemeNotRunnableYet: Check = {
  code: 'scheme-not-runnable-yet',
  run: ({ quantization, modifiers }) =>
    quantization.flatMap(({ modifier, groups }) => [
      ...groups.flatMap(({ scheme, path, name }) => {
        const found = scheme === null ? null : (obstacle(scheme) ?? searchObstacle(scheme, modifiers));
        return found === null
          ? []
          : [
              {
                code: 'scheme-not-runnable-yet',
                severity: 'error' as const,
                path,
                at: 'value' as const,
                message: `${name} asks for ${found}, which this version of Bitwright cannot run. It runs integer weights of 1 to 8 bits (tensor, channel, group), FP8 (tensor, channel, group, block), NVFP4, MXFP4 and MXFP8, with inputs in 16 bits, quantized at run time, or per tensor calibrated.`,
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
