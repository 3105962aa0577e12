// compressed-tensors storage: the table of formats, and the two for integer weights, pack-quantized (dense bits in I32 words) and int-quantized (one value per byte).
import type { LayerPlan, QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../../schemas/src/run-failure.js';
import { weightArgs as knownWeightArgs, type WeightArgs } from '../../tensor/grid-args.js';
import { packInt32, unpackInt32 } from '../../tensor/operations/formats.js';
import { dequantize } from '../../tensor/operations/quantizers.js';
import { reshape } from '../../tensor/operations/storage.js';
import type { Device, Tensor } from '../../tensor/tensor.js';
import type { TensorReader } from '../tensor-reader.js';
import { loadBitsAndBytes } from './bitsandbytes.js';
import { floatQuantized, mxfp4Packed, mxfp8Quantized, nvfp4Packed } from './floats.js';
import type { Format, NamedTensor } from './format.js';
import { loadGguf } from './gguf.js';
import { fileOfModule, inputTensors } from './inputs.js';
import { loadVptq } from './vptq.js';

const packQuantized: Format = {
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

const intQuantized: Format = {
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

/** All formats by their names in config.json. */
export const compressedTensorsFormats: Readonly<Record<string, Format>> = {
  'pack-quantized': packQuantized,
  'int-quantized': intQuantized,
  'float-quantized': floatQuantized,
  'naive-quantized': floatQuantized,
  'mxfp8-quantized': mxfp8Quantized,
  'mxfp4-pack-quantized': mxfp4Packed,
  'nvfp4-pack-quantized': nvfp4Packed,
};

/** Null when weights of this kind lie in such a checkpoint as `compressedTensorsFormats` has them; else what they are. */
export function storageObstacle({ weights, format }: QuantizationScheme): string | null {
  const args = knownWeightArgs(weights);
  if (!weights || args === null) return `weights of ${weights?.num_bits} bits of type ${weights?.type} per ${weights?.strategy}`;
  const fitting =
    weights.type === 'int'
      ? ['pack-quantized', 'int-quantized']
      : args.strategy === 'tensor_group'
        ? ['nvfp4-pack-quantized']
        : args.mx
          ? [weights.num_bits === 4 ? 'mxfp4-pack-quantized' : 'mxfp8-quantized']
          : ['float-quantized', 'naive-quantized'];
  return fitting.includes(format) ? null : `weights of ${weights.num_bits} bits of type ${weights.type} in the format ${format}`;
}

/** The weight that a reader of the folder gets for a quantized module, [rows, columns] in the dtype of its scale. */
export function loadQuantizedWeight(reader: TensorReader, module: string, scheme: QuantizationScheme): Promise<Tensor> {
  if (scheme.format === 'bitsandbytes') return loadBitsAndBytes(reader, module);
  if (scheme.format === 'vptq') return loadVptq(reader, module, scheme);
  if (scheme.format === 'gguf') return loadGguf(reader, module, scheme);
  const format = compressedTensorsFormats[scheme.format];
  const obstacle = storageObstacle(scheme);
  if (format === undefined || obstacle !== null)
    throw runFailure.fileUnreadable(
      fileOfModule(reader, module),
      `${module} has ${obstacle ?? `the format ${scheme.format}`}, which Bitwright does not read yet (it reads ${Object.keys(compressedTensorsFormats).join(', ')})`,
    );
  return format.load(reader, module, scheme);
}

/** The arguments of the native quantizers, from a scheme that the run accepted. */
function weightArgs(scheme: QuantizationScheme | null): WeightArgs {
  const args = knownWeightArgs(scheme?.weights);
  if (args === null) throw runFailure.planInvalid(`weights per ${scheme?.weights?.strategy ?? 'nothing'} cannot be stored as integers`);
  return args;
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
