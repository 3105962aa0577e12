// Native operations of worker/native/transforms: what makes weights easier to quantize, and what corrects them afterwards.
// T tokens, I in_features (columns), O out_features (rows), V vocabulary, G scale groups per row; activations are F32.
import type { DType } from '../../native-core.js';
import type { WeightArgs } from '../grid-args.js';
import type { Tensor } from '../tensor.js';
import { one } from './results.js';

// ---- SmoothQuant (Xiao et al., arXiv 2211.10438) ---------------------------------------------------------------------------

/** Running max over the rows of |weight| per column: absmax F32 [I] in place, weight [O, I]. */
export const columnAbsmaxAccumulate = (absmax: Tensor, weight: Tensor): void => {
  absmax.device.enqueue('column_absmax_accumulate', [absmax, weight]);
};
/** s [I] from column ranges F32 [2, I] of the activations and column absmax F32 [I] of the balance weights, as llm-compressor computes it. */
export const smoothquantScales = (
  ranges: Tensor,
  absmax: Tensor,
  options: { smoothing_strength: number; algorithm: 'smoothquant' | 'log_equalization' },
): Tensor => one(ranges.device.enqueue('smoothquant_scales', [ranges, absmax], options));
/** weight [O, I] · s per column, in the dtype of the weight. */
export const multiplyColumns = (weight: Tensor, s: Tensor): Tensor => one(weight.device.enqueue('multiply_columns', [weight, s]));
/** weight [O, …] / s per leading row (norm weight [I], bias [O] or matrix rows), in the dtype of the weight. */
export const divideRows = (weight: Tensor, s: Tensor): Tensor => one(weight.device.enqueue('divide_rows', [weight, s]));

// ---- AWQ (Lin et al., arXiv 2306.00978) ------------------------------------------------------------------------------------

/** Running sum over the rows of |x| per column: sums F64 [I] in place, x F32 [T, I]. */
export const columnAbsSumAccumulate = (sums: Tensor, x: Tensor): void => {
  sums.device.enqueue('column_abs_sum_accumulate', [sums, x]);
};
/** Running sum over the rows of |weight| / (max |weight| of the cell that shares a scale + 1e-6) per column: sums F64 [I] in place, weight [O, I]. */
export const awqWeightSumAccumulate = (sums: Tensor, weight: Tensor, options: Pick<WeightArgs, 'strategy' | 'group_size'>): void => {
  sums.device.enqueue('awq_weight_sum_accumulate', [sums, weight], { ...options });
};
/** s F32 [I] of one point of the grid: x_sum F64 [I] over n_tokens tokens; w_sum F64 [I] over n_rows rows, or null where the weights have no say. */
export const awqScales = (xSum: Tensor, wSum: Tensor | null, options: { n_tokens: number; n_rows: number; ratio: number }): Tensor =>
  one(xSum.device.enqueue('awq_scales', [xSum, wSum], options));
/** Σ (a − b)² in double: sum F64 [1] in place, a and b F32 of one shape. */
export const squaredErrorAccumulate = (sum: Tensor, a: Tensor, b: Tensor): void => {
  sum.device.enqueue('squared_error_accumulate', [sum, a, b]);
};
/** (w − ŵ) H (w − ŵ)ᵀ of every cell, H F32 [I, I]: F64 of the shape of the scales. */
export const cellErrors = (W: Tensor, What: Tensor, hessian: Tensor, options: Pick<WeightArgs, 'strategy' | 'group_size'>): Tensor =>
  one(W.device.enqueue('cell_errors', [W, What, hessian], { ...options }));
/** weight [O, I] cut to factor · max |w| of its cell, factors F32 of the shape of the scales. */
export const clipCells = (weight: Tensor, factors: Tensor, options: Pick<WeightArgs, 'strategy' | 'group_size'>): Tensor =>
  one(weight.device.enqueue('clip_cells', [weight, factors], { ...options }));
/** weight [O, I] / s per column, in the dtype of the weight. */
export const divideColumns = (weight: Tensor, s: Tensor): Tensor => one(weight.device.enqueue('divide_columns', [weight, s]));

// ---- corrections behind a quantizer (Nagel et al., arXiv 1906.04721; Banner et al., arXiv 1810.05723) ----------------------

/** W E[x] − Ŵ E[x̃] of weights [O, I] and means F64 [I] → F64 [O]. */
export const outputShift = (W: Tensor, What: Tensor, mean: Tensor, meanHat: Tensor): Tensor =>
  one(W.device.enqueue('output_shift', [W, What, mean, meanHat]));
/** w H wᵀ and ŵ H ŵᵀ of every row from the products with H [O, I] (the weights themselves for H = 1): F64 [O, 2]. */
export const varianceSums = (W: Tensor, What: Tensor, WH: Tensor, WhatH: Tensor): Tensor =>
  one(W.device.enqueue('variance_sums', [W, What, WH, WhatH]));
/** (W − Ŵ)[:, columns] of weights [O, I], columns I32 [k]: F32 [O, k]. */
export const residualColumns = (W: Tensor, What: Tensor, columns: Tensor): Tensor =>
  one(W.device.enqueue('residual_columns', [W, What, columns]));
/** B F32 [O, rank], A F32 [rank, I] with the least tr((W − Ŵ − B A) H (…)ᵀ), H F32 [I, I] or null, and F64 [2]: that error without and with them. */
export const lowRankResidual = (W: Tensor, What: Tensor, hessian: Tensor | null, options: { rank: number }): [Tensor, Tensor, Tensor] => {
  const [B, A, errors] = W.device.enqueue('low_rank_residual', [W, What, hessian], options);
  return [B!, A!, errors!];
};

// ---- rotations (Ashkboos et al., arXiv 2404.00456) -------------------------------------------------------------------------

/** How a weight or a bias is turned: along axis 1 every piece of a row, along axis 0 every piece of a column; the result in `dtype`. */
export interface RotateArgs {
  axis: 0 | 1;
  dtype: DType;
}
/**
 * Every piece v of b elements → v · D · (S ⊗ F) / √b, S Sylvester's matrix: x [O, I] or [O], signs I8 [b] of D, factor I8 [K, K] a Hadamard matrix F with b / K a
 * power of two. gain [I] or null: multiplied into the columns first (axis 1).
 */
export const hadamardTransform = (x: Tensor, gain: Tensor | null, signs: Tensor, factor: Tensor, options: RotateArgs): Tensor =>
  one(x.device.enqueue('hadamard_transform', [x, gain, signs, factor], { ...options }));
/** Every piece v of b elements → v · R, R F64 [1 or pieces, b, b]: one for all pieces of a line, or one for each. */
export const rotate = (x: Tensor, gain: Tensor | null, R: Tensor, options: RotateArgs): Tensor =>
  one(x.device.enqueue('rotate', [x, gain, R], { ...options }));
