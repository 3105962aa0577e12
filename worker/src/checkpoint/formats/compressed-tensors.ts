// compressed-tensors storage of integer weights: pack-quantized (dense bits in I32 words) and int-quantized (one value per byte).
import type { LayerPlan, QuantizationArgs, QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../../schemas/src/run-failure.js';
import {
  dequantize,
  fakeQuantizeDynamic,
  fakeQuantizeStatic,
  packInt32,
  reshape,
  unpackInt32,
  type WeightArgs,
} from '../../tensor/operations.js';
import type { Device, Tensor } from '../../tensor/tensor.js';
import type { TensorReader } from '../tensor-reader.js';
import type { Format, InputQuantizer, NamedTensor, QuantizedLayer } from './format.js';

export const packQuantized: Format = {
  store: (layer, quantized) => {
    const { num_bits, symmetric, strategy } = weightArgs(layer.scheme);
    const { q, scale, zeroPoint, gIdx } = quantized;
    const tensors: NamedTensor[] = [
      { name: `${layer.name}.weight_packed`, tensor: packInt32(q, { num_bits, axis: 1 }) },
      { name: `${layer.name}.weight_scale`, tensor: reshape(scale, scale.shape) },
      { name: `${layer.name}.weight_shape`, tensor: shapeTensor(q.device, layer) },
    ];
    // A single zero point stays a byte; those of rows are packed along the rows.
    if (!symmetric)
      tensors.push({
        name: `${layer.name}.weight_zero_point`,
        tensor: strategy === 'tensor' ? reshape(zeroPoint, zeroPoint.shape) : packInt32(zeroPoint, { num_bits, axis: 0 }),
      });
    if (gIdx !== null) tensors.push({ name: `${layer.name}.weight_g_idx`, tensor: reshape(gIdx, gIdx.shape) });
    return [...tensors, ...inputTensors(layer, quantized)];
  },

  load: async (reader, module, scheme) => {
    const args = weightArgs(scheme);
    const { num_bits } = args;
    using stored = reader.load(`${module}.weight_shape`);
    const [rows, columns] = await readIntegers(stored);
    if (rows === undefined || columns === undefined)
      throw runFailure.headerInvalid(reader.file(`${module}.weight_shape`), `${module}.weight_shape does not hold two numbers`);
    using packed = reader.load(`${module}.weight_packed`);
    using q = unpackInt32(packed, { num_bits, axis: 1, rows, columns });
    using scale = reader.load(`${module}.weight_scale`);
    using zeroPoint = loadZeroPoint(reader, module, args, scale, num_bits);
    using gIdx = loadOptional(reader, `${module}.weight_g_idx`);
    return dequantize(q, scale, zeroPoint, gIdx, args);
  },
};

export const intQuantized: Format = {
  store: (layer, quantized) => {
    const { symmetric } = weightArgs(layer.scheme);
    const { q, scale, zeroPoint, gIdx } = quantized;
    const tensors: NamedTensor[] = [
      { name: `${layer.name}.weight`, tensor: reshape(q, q.shape) },
      { name: `${layer.name}.weight_scale`, tensor: reshape(scale, scale.shape) },
    ];
    if (!symmetric) tensors.push({ name: `${layer.name}.weight_zero_point`, tensor: reshape(zeroPoint, zeroPoint.shape) });
    if (gIdx !== null) tensors.push({ name: `${layer.name}.weight_g_idx`, tensor: reshape(gIdx, gIdx.shape) });
    return [...tensors, ...inputTensors(layer, quantized)];
  },

  load: (reader, module, scheme) => {
    const args = weightArgs(scheme);
    using q = reader.load(`${module}.weight`);
    using scale = reader.load(`${module}.weight_scale`);
    using zeroPoint = loadZeroPoint(reader, module, args, scale, null);
    using gIdx = loadOptional(reader, `${module}.weight_g_idx`);
    return Promise.resolve(dequantize(q, scale, zeroPoint, gIdx, args));
  },
};

/** The formats of this file by their names in config.json. */
export const compressedTensorsFormats: Readonly<Record<string, Format>> = {
  'pack-quantized': packQuantized,
  'int-quantized': intQuantized,
};

/** The weight that a reader of the folder gets for a quantized module, [rows, columns] in the dtype of its scale. */
export function loadQuantizedWeight(reader: TensorReader, module: string, scheme: QuantizationScheme): Promise<Tensor> {
  const format = compressedTensorsFormats[scheme.format];
  if (format === undefined || scheme.weights?.type !== 'int')
    throw runFailure.fileUnreadable(
      reader.file(`${module}.weight_scale`),
      `${module} is stored as ${scheme.format}, which Bitwright does not read yet (it reads ${Object.keys(compressedTensorsFormats).join(' and ')} with integers)`,
    );
  return format.load(reader, module, scheme);
}

/**
 * Null where the scheme leaves the inputs alone. Inputs are quantized in float32 whatever the dtype of the weights, as serving kernels do; transformers
 * rounds every step to the dtype of the model, which for bfloat16 moves the logits by about 2 %.
 */
export function loadInputQuantizer(reader: TensorReader, module: string, scheme: QuantizationScheme): InputQuantizer | null {
  const args = scheme.input_activations;
  if (scheme.output_activations !== null)
    throw runFailure.fileUnreadable(fileOf(reader, module), `the outputs of ${module} are quantized, which Bitwright does not compute yet`);
  if (args === null) return null;
  const { num_bits, symmetric, strategy, dynamic } = args;
  if (args.type !== 'int' || dynamic === 'local' || (strategy !== 'token' && strategy !== 'tensor'))
    throw runFailure.fileUnreadable(
      fileOf(reader, module),
      `the inputs of ${module} are quantized as ${args.type}${num_bits} per ${strategy}, which Bitwright does not read yet (it reads integers per token or per tensor)`,
    );
  if (dynamic)
    return { apply: (input) => fakeQuantizeDynamic(input, { num_bits, symmetric, strategy }), [Symbol.dispose]: () => undefined };
  const scale = reader.load(`${module}.input_scale`);
  const zeroPoint = symmetric ? null : reader.load(`${module}.input_zero_point`);
  return {
    apply: (input) => fakeQuantizeStatic(input, scale, zeroPoint, { num_bits, symmetric }),
    [Symbol.dispose]: () => {
      scale.dispose();
      zeroPoint?.dispose();
    },
  };
}

/** The file that holds the weight, however it is stored. */
const fileOf = (reader: TensorReader, module: string): string =>
  reader.file([`${module}.weight`, `${module}.weight_packed`].find((name) => reader.has(name)) ?? `${module}.weight_scale`);

/** The arguments of the native quantizers, from a scheme that the run accepted. */
export function weightArgs(scheme: QuantizationScheme | null): WeightArgs {
  const args = scheme?.weights;
  if (!args || !isStoredStrategy(args.strategy))
    throw runFailure.planInvalid(`weights per ${args?.strategy ?? 'nothing'} cannot be stored as integers`);
  return { num_bits: args.num_bits, symmetric: args.symmetric, strategy: args.strategy, group_size: args.group_size ?? 0 };
}

function isStoredStrategy(strategy: QuantizationArgs['strategy']): strategy is WeightArgs['strategy'] {
  return strategy === 'tensor' || strategy === 'channel' || strategy === 'group';
}

function inputTensors(layer: LayerPlan, { input }: QuantizedLayer): NamedTensor[] {
  const args = layer.scheme?.input_activations;
  if (input === null || !args) return [];
  const scale = { name: `${layer.name}.input_scale`, tensor: reshape(input.scale, input.scale.shape) };
  if (args.symmetric) return [scale];
  return [scale, { name: `${layer.name}.input_zero_point`, tensor: reshape(input.zeroPoint, input.zeroPoint.shape) }];
}

function shapeTensor(device: Device, { rows, columns }: LayerPlan): Tensor {
  const numbers = new BigInt64Array([BigInt(rows), BigInt(columns)]);
  return device.fromBytes('I64', [2], new Uint8Array(numbers.buffer));
}

/** `packedBits` null: stored as bytes. A zero point of a whole tensor is always a byte. */
function loadZeroPoint(reader: TensorReader, module: string, args: WeightArgs, scale: Tensor, packedBits: number | null): Tensor | null {
  if (args.symmetric) return null;
  const stored = reader.load(`${module}.weight_zero_point`);
  const [rows, columns] = scale.shape;
  if (packedBits === null || args.strategy === 'tensor' || rows === undefined || columns === undefined) return stored;
  using packed = stored;
  return unpackInt32(packed, { num_bits: packedBits, axis: 0, rows, columns });
}

function loadOptional(reader: TensorReader, name: string): Tensor | null {
  return reader.has(name) ? reader.load(name) : null;
}

/** weight_shape is I64 by the format and I32 in some checkpoints. */
async function readIntegers(tensor: Tensor): Promise<number[]> {
  const bytes = await tensor.read();
  if (tensor.dtype === 'I32') return [...new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];
  return [...new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8)].map(Number);
}
