// compressed-tensors storage of float weights. Bits per weight, scales included:
//
//   float-quantized        FP8 bytes, a scale per tensor, channel, group or block    8, and 16 per scale of a BF16 model
//   naive-quantized        the same, for weights whose inputs stay as they are
//   mxfp8-quantized        FP8 bytes, an E8M0 byte per 32                             8.25
//   mxfp4-pack-quantized   two FP4 codes in a byte, an E8M0 byte per 32               4.25
//   nvfp4-pack-quantized   two FP4 codes in a byte, an FP8 scale per 16, one F32      4.5
import { runFailure } from '../../../../schemas/src/run-failure.js';
import type { QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import { weightArgs, type WeightArgs } from '../../tensor/grid-args.js';
import { e8m0Codes, e8m0Scales, packFp4, unpackFp4 } from '../../tensor/operations/formats.js';
import { dequantize, effectiveScales } from '../../tensor/operations/quantizers.js';
import { cast, reshape } from '../../tensor/operations/storage.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Format, NamedTensor, QuantizedLayer } from './format.js';
import { inputTensors } from './inputs.js';

/** The same storage under two names: with and without quantized inputs. */
export const floatQuantized: Format = {
  store: (layer, quantized) => {
    const { q, scale, gIdx } = quantized;
    return [
      { name: `${layer.name}.weight`, tensor: reshape(q, q.shape) },
      { name: `${layer.name}.weight_scale`, tensor: reshape(scale, scale.shape) },
      ...groupTable(layer.name, gIdx),
      ...inputTensors(layer, quantized),
    ];
  },
  load: (reader, module, scheme) => {
    using q = reader.load(`${module}.weight`);
    using scale = reader.load(`${module}.weight_scale`);
    using gIdx = reader.has(`${module}.weight_g_idx`) ? reader.load(`${module}.weight_g_idx`) : null;
    return Promise.resolve(dequantize(q, scale, null, gIdx, argsOf(scheme, module)));
  },
};

export const mxfp8Quantized: Format = {
  store: (layer, quantized) => {
    const { q, scale, gIdx } = quantized;
    return [
      { name: `${layer.name}.weight`, tensor: reshape(q, q.shape) },
      { name: `${layer.name}.weight_scale`, tensor: e8m0Codes(scale) },
      ...groupTable(layer.name, gIdx),
      ...inputTensors(layer, quantized),
    ];
  },
  load: (reader, module, scheme) => {
    using q = reader.load(`${module}.weight`);
    using stored = reader.load(`${module}.weight_scale`);
    using scale = e8m0Scales(stored);
    using gIdx = reader.has(`${module}.weight_g_idx`) ? reader.load(`${module}.weight_g_idx`) : null;
    return Promise.resolve(dequantize(q, scale, null, gIdx, argsOf(scheme, module)));
  },
};

export const mxfp4Packed: Format = {
  store: (layer, quantized) => [
    { name: `${layer.name}.weight_packed`, tensor: packFp4(quantized.q) },
    { name: `${layer.name}.weight_scale`, tensor: e8m0Codes(quantized.scale) },
    ...inputTensors(layer, quantized),
  ],
  load: (reader, module, scheme) => {
    using packed = reader.load(`${module}.weight_packed`);
    using q = unpackFp4(packed);
    using stored = reader.load(`${module}.weight_scale`);
    using scale = e8m0Scales(stored);
    return Promise.resolve(dequantize(q, scale, null, null, argsOf(scheme, module)));
  },
};

export const nvfp4Packed: Format = {
  store: (layer, quantized) => {
    const { levels } = quantized;
    if (levels === null) throw runFailure.planInvalid(`${layer.name} is to be stored as nvfp4-pack-quantized and has no global scale`);
    return [
      { name: `${layer.name}.weight_packed`, tensor: packFp4(quantized.q) },
      { name: `${layer.name}.weight_scale`, tensor: reshape(levels.scale, levels.scale.shape) },
      { name: `${layer.name}.weight_global_scale`, tensor: reshape(levels.global, [1]) },
      ...inputTensors(layer, quantized),
    ];
  },
  // compressed-tensors gives the weight as BF16 whatever the dtype of the model was.
  load: (reader, module, scheme) => {
    using packed = reader.load(`${module}.weight_packed`);
    using q = unpackFp4(packed);
    using stored = reader.load(`${module}.weight_scale`);
    using global = reader.load(`${module}.weight_global_scale`);
    using scale = effectiveScales(stored, global);
    using wide = dequantize(q, scale, null, null, argsOf(scheme, module));
    return Promise.resolve(cast(wide, 'BF16'));
  },
};

/** The weight that `load` will give for what `store` stores. */
export function weightAsRead(quantized: QuantizedLayer, args: WeightArgs): Tensor {
  const { q, scale, zeroPoint, gIdx, levels } = quantized;
  const weight = dequantize(q, scale, zeroPoint, gIdx, args);
  if (levels === null) return weight;
  using wide = weight;
  return cast(wide, 'BF16');
}

const groupTable = (module: string, gIdx: Tensor | null): NamedTensor[] =>
  gIdx === null ? [] : [{ name: `${module}.weight_g_idx`, tensor: reshape(gIdx, gIdx.shape) }];

function argsOf({ weights, format }: QuantizationScheme, module: string): WeightArgs {
  const args = weightArgs(weights);
  if (args === null)
    throw runFailure.planInvalid(`${module} has weights per ${weights?.strategy ?? 'nothing'}, which cannot be stored as ${format}`);
  return args;
}
