// Bytes of a layer as compressed-tensors stores it.
import type { QuantizationScheme } from '../../../schemas/src/generated/plan.js';

/** Bytes of a layer as compressed-tensors stores it, scales and zero points included. */
export function storedBytes(layer: { rows: number; columns: number }, scheme: QuantizationScheme, dtypeSize: number): number {
  const { weights } = scheme;
  const { rows, columns } = layer;
  if (weights === null) return rows * columns * dtypeSize;
  const n_groups = weights.strategy === 'group' && weights.group_size !== null ? Math.ceil(columns / weights.group_size) : 1;
  const n_scales = weights.strategy === 'tensor' ? 1 : rows * n_groups;
  const packed = scheme.format === 'pack-quantized';
  const codes = packed
    ? rows * Math.ceil((columns * weights.num_bits) / 32) * 4 + 16
    : rows * columns * Math.max(1, weights.num_bits > 8 ? weights.num_bits / 8 : 1);
  const zeroPoints = weights.symmetric
    ? 0
    : packed && weights.strategy !== 'tensor'
      ? Math.ceil((rows * weights.num_bits) / 32) * n_groups * 4
      : n_scales;
  const table = weights.actorder === 'group' ? columns * 4 : 0;
  return codes + n_scales * dtypeSize + zeroPoints + table;
}

export const sizeOfDtype = (dtype: string): number => ({ F64: 8, F32: 4, F16: 2, BF16: 2 })[dtype] ?? 1;
