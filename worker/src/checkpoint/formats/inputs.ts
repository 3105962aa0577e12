// What a checkpoint says of the inputs of its linears: calibrated scales, and how a reader quantizes with them.
import type { LayerPlan, QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../../schemas/src/run-failure.js';
import { areInputsKnown, gridArgs } from '../../tensor/grid-args.js';
import { fakeQuantizeDynamic, fakeQuantizeLocal, fakeQuantizeStatic } from '../../tensor/operations/forward.js';
import { reshape } from '../../tensor/operations/storage.js';
import type { TensorReader } from '../tensor-reader.js';
import type { InputQuantizer, NamedTensor, QuantizedLayer } from './format.js';

export function inputTensors(layer: LayerPlan, { input }: QuantizedLayer): NamedTensor[] {
  const args = layer.scheme?.input_activations;
  if (input === null || !args) return [];
  if (args.dynamic === 'local') return [{ name: `${layer.name}.input_global_scale`, tensor: reshape(input.scale, input.scale.shape) }];
  const scale = { name: `${layer.name}.input_scale`, tensor: reshape(input.scale, input.scale.shape) };
  if (args.symmetric || input.zeroPoint === null) return [scale];
  return [scale, { name: `${layer.name}.input_zero_point`, tensor: reshape(input.zeroPoint, input.zeroPoint.shape) }];
}

/**
 * Null where the scheme leaves the inputs alone. Inputs are quantized in float32 whatever the dtype of the weights, as serving kernels do; transformers
 * rounds every step to the dtype of the model, which for bfloat16 moves the logits by about 2 %.
 */
export function loadInputQuantizer(reader: TensorReader, module: string, scheme: QuantizationScheme): InputQuantizer | null {
  const args = scheme.input_activations;
  if (scheme.output_activations !== null)
    throw runFailure.fileUnreadable(
      fileOfModule(reader, module),
      `the outputs of ${module} are quantized, which Bitwright does not compute yet`,
    );
  if (args === null) return null;
  const { strategy, dynamic, group_size } = args;
  if (!areInputsKnown(args))
    throw runFailure.fileUnreadable(
      fileOfModule(reader, module),
      `the inputs of ${module} are quantized as ${args.type}${args.num_bits} per ${strategy}, which Bitwright does not read yet`,
    );
  if (dynamic === true && (strategy === 'token' || strategy === 'tensor' || strategy === 'group'))
    return {
      seesAllRows: strategy === 'tensor',
      apply: (input) => fakeQuantizeDynamic(input, { ...gridArgs(args), strategy, group_size: group_size ?? 0 }),
      [Symbol.dispose]: () => undefined,
    };
  if (dynamic === 'local') {
    const global = reader.load(`${module}.input_global_scale`);
    return {
      apply: (input) => fakeQuantizeLocal(input, global, { group_size: group_size ?? 0 }),
      [Symbol.dispose]: () => global.dispose(),
    };
  }
  const scale = reader.load(`${module}.input_scale`);
  const zeroPoint = args.symmetric ? null : reader.load(`${module}.input_zero_point`);
  return {
    apply: (input) => fakeQuantizeStatic(input, scale, zeroPoint, gridArgs(args)),
    [Symbol.dispose]: () => {
      scale.dispose();
      zeroPoint?.dispose();
    },
  };
}

/** The file that holds the weight, however it is stored. */
export const fileOfModule = (reader: TensorReader, module: string): string =>
  reader.file([`${module}.weight`, `${module}.weight_packed`].find((name) => reader.has(name)) ?? `${module}.weight_scale`);
