// Native operations of worker/native/observers: what is kept of the inputs that calibration sees.
// What accumulates changes its first input in place and answers nothing.
// T tokens, I in_features (columns), O out_features (rows), V vocabulary, G scale groups per row; activations are F32.
import type { DType } from '../../native-core.js';
import type { GridArgs } from '../grid-args.js';
import type { Tensor } from '../tensor.js';
import { one, two } from './results.js';

/** H ← decay · H + weight · xᵀx, H F32 [I, I] (both triangles kept), x F32 [T, I]. */
export const hessianAccumulate = (hessian: Tensor, x: Tensor, options: { decay: number; weight: number }): void => {
  hessian.device.enqueue('hessian_accumulate', [hessian, x], options);
};
/** diag(H) F32 [I] of H F32 [I, I]: the sum of squares of each input column, up to a common factor. */
export const hessianDiagonal = (hessian: Tensor): Tensor => one(hessian.device.enqueue('hessian_diagonal', [hessian]));
/** C ← decay · C + weight · xᵀx̃, C F32 [I, I], x and x̃ F32 [T, I]. */
export const crossHessianAccumulate = (cross: Tensor, x: Tensor, quantized: Tensor, options: { decay: number; weight: number }): void => {
  cross.device.enqueue('cross_hessian_accumulate', [cross, x, quantized], options);
};
/** Running per-column extremes: ranges F32 [2, I] (minima, maxima; begin at +inf, −inf), x F32 [T, I]. */
export const columnRangeAccumulate = (ranges: Tensor, x: Tensor): void => {
  ranges.device.enqueue('column_range_accumulate', [ranges, x]);
};
/** Running sums of the first four powers and the largest magnitude per column: moments F64 [5, I] in place (begin at zeros), x F32 [T, I]. */
export const columnMomentsAccumulate = (moments: Tensor, x: Tensor): void => {
  moments.device.enqueue('column_moments_accumulate', [moments, x]);
};
/** F ← F + (dyᵀ x)², F F32 [O, I], dy F32 [T, O], x F32 [T, I] of one document: squares of the gradient of its loss for the weight. */
export const fisherAccumulate = (F: Tensor, dy: Tensor, x: Tensor): void => {
  F.device.enqueue('fisher_accumulate', [F, dy, x]);
};
/** Running extremes of the whole tensor: range F32 [2], x F32 [T, I]. */
export const rangeAccumulate = (range: Tensor, x: Tensor): void => {
  range.device.enqueue('range_accumulate', [range, x]);
};
/** sum ← decay · sum + weight · x, both F32 of one shape: what several devices have seen becomes one. */
export const weightedAccumulate = (sum: Tensor, x: Tensor, options: { decay: number; weight: number }): void => {
  sum.device.enqueue('weighted_accumulate', [sum, x], options);
};
/**
 * Running histogram of x F32 [T, I] in bins around zero whose width doubles as it must: counts I64 [2 B] and facts F64 [4] (width of a bin, smallest, largest, values that
 * are not finite) in place; they begin at 0 and at 0, +inf, −inf, 0.
 */
export const histogramAccumulate = (counts: Tensor, facts: Tensor, x: Tensor): void => {
  counts.device.enqueue('histogram_accumulate', [counts, facts, x]);
};

/** Scale [1] F32 and zero point I8 [1] of static activations from a range F32 [2]. */
export const activationScale = (range: Tensor, options: GridArgs & { scale_dtype: DType }): [Tensor, Tensor] =>
  two(range.device.enqueue('activation_scale', [range], { ...options }));
