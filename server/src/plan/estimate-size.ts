// Bytes of a layer as its format stores it.
import type { LayerPlan, QuantizationArgs, QuantizationScheme, TransformPlan, Vectors } from '../../../schemas/src/generated/plan.js';
import { rowBytes } from '../../../schemas/src/model/gguf-types.js';
import { indexBits } from '../../../schemas/src/model/vptq-config.js';
import { adapterRank, isAdapter } from '../../../schemas/src/modifiers.js';

/** Bytes of a layer as its format stores it, scales and zero points included. */
export function storedBytes(layer: { rows: number; columns: number }, scheme: QuantizationScheme, dtypeSize: number): number {
  const { weights, format } = scheme;
  const { rows, columns } = layer;
  if (weights === null) return rows * columns * dtypeSize;
  if (weights.vectors !== undefined) return vectorBytes(layer, weights.vectors, dtypeSize);
  if (weights.gguf_type !== undefined) return rows * rowBytes(weights.gguf_type, columns);
  if (weights.codebook !== undefined) return codebookBytes(rows * columns, weights);
  const isGrouped = weights.strategy === 'group' || weights.strategy === 'tensor_group';
  const n_groups = isGrouped && weights.group_size !== null ? Math.ceil(columns / weights.group_size) : 1;
  const n_scales =
    weights.strategy === 'tensor' ? 1 : weights.strategy === 'block' ? n_blocks(layer, weights.block_structure) : rows * n_groups;
  const table = weights.actorder === 'group' ? columns * 4 : 0;
  if (weights.type === 'float') return floatBytes(layer, scheme, n_scales, dtypeSize) + table;
  const packed = format === 'pack-quantized';
  const codes = packed
    ? rows * Math.ceil((columns * weights.num_bits) / 32) * 4 + 16
    : rows * columns * Math.max(1, weights.num_bits > 8 ? weights.num_bits / 8 : 1);
  const zeroPoints = weights.symmetric
    ? 0
    : packed && weights.strategy !== 'tensor'
      ? Math.ceil((rows * weights.num_bits) / 32) * n_groups * 4
      : n_scales;
  return codes + n_scales * dtypeSize + zeroPoints + table;
}

/** A nibble for each weight; the magnitudes of the blocks in 32 bits, or in 8 with one more in 32 for 256 of them and their codebook of 256; codebook and quant_state. */
function codebookBytes(n: number, { group_size, scale_dtype }: QuantizationArgs): number {
  const n_blocks = Math.ceil(n / (group_size ?? 64));
  const isDouble = scale_dtype === 'torch.uint8';
  return Math.ceil(n / 2) + (isDouble ? n_blocks + 4 * Math.ceil(n_blocks / 256) + 1024 : 4 * n_blocks) + 64 + (isDouble ? 170 : 90);
}

/** Indices in words of 32 bits for each row of vectors of a group; codebooks, scales and biases of columns in the dtype of the weight; outliers and the order in 16 bits. */
function vectorBytes({ rows, columns }: { rows: number; columns: number }, vectors: Vectors, dtypeSize: number): number {
  const { vector_len, num_centroids, num_res_centroids, group_num, outlier_size, outlier_vector_len, outlier_num_centroids } = vectors;
  const bits = indexBits(vectors);
  const indices = group_num * Math.ceil(rows / vector_len) * Math.ceil((((columns - outlier_size) / group_num) * bits) / 32) * 4;
  const centroids = group_num * (num_centroids + num_res_centroids) * vector_len;
  const outlierCentroids = outlier_size > 0 ? outlier_num_centroids * outlier_vector_len : 0;
  const numbers = centroids + outlierCentroids + (vectors.enable_norm ? 2 * columns : 0);
  const outliers = Math.ceil(rows / outlier_vector_len) * outlier_size * 2;
  return indices + numbers * dtypeSize + outliers + (vectors.enable_perm ? columns * 2 : 0);
}

/** FP4 lies two to a byte in the packed formats. MX and NVFP4 scales are bytes, and NVFP4 has one float32 more for the whole weight. */
function floatBytes(
  { rows, columns }: { rows: number; columns: number },
  { format }: QuantizationScheme,
  n_scales: number,
  dtypeSize: number,
): number {
  if (format === 'nvfp4-pack-quantized') return rows * Math.ceil(columns / 2) + n_scales + 4;
  if (format === 'mxfp4-pack-quantized') return rows * Math.ceil(columns / 2) + n_scales;
  return rows * columns + n_scales * (format === 'mxfp8-quantized' ? 1 : dtypeSize);
}

function n_blocks({ rows, columns }: { rows: number; columns: number }, block_structure: readonly number[] | null): number {
  const [block_rows = rows, block_columns = columns] = block_structure ?? [];
  return Math.ceil(rows / block_rows) * Math.ceil(columns / block_columns);
}

/** Bytes of a layer's two matrices in the adapter beside the checkpoint, whose rank is one for all layers; in the type of the weight. */
export function adapterBytes(layer: LayerPlan, transforms: readonly TransformPlan[]): number {
  const isAdapted = transforms.some((plan) => isAdapter(plan) && plan.layers.includes(layer.name));
  return isAdapted ? adapterRank(transforms) * (layer.rows + layer.columns) * sizeOfDtype(layer.dtype) : 0;
}

/** Bytes of what calibration found out about the inputs of a layer: a scale and a zero point, or NVFP4's global scale. */
export function inputBytes({ input_activations: inputs }: QuantizationScheme, dtypeSize: number): number {
  if (inputs === null || inputs.dynamic === true) return 0;
  return inputs.dynamic === 'local' ? 4 : dtypeSize + (inputs.symmetric ? 0 : 1);
}

export const sizeOfDtype = (dtype: string): number => ({ F64: 8, F32: 4, F16: 2, BF16: 2 })[dtype] ?? 1;
