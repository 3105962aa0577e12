// Native operations of worker/native/quantizers: scales and codes, in the arithmetic of compressed-tensors: every step rounded to the dtype of the weight.
// T tokens, I in_features (columns), O out_features (rows), V vocabulary, G scale groups per row; activations are F32.
import type { DType } from '../../native-core.js';
import type { GridArgs, WeightArgs } from '../grid-args.js';
import type { RangeSearchArgs, WeightObserverArgs } from '../search-args.js';
import type { Tensor } from '../tensor.js';
import { one, two } from './results.js';

// ---- scales, rounding to nearest -------------------------------------------------------------------------------------------

/**
 * Scale and zero point of weight [O, I] (BF16, F16 or F32). scale: dtype of the weight, tensor [1], channel [O, 1], group [O, G], block [⌈O/rows⌉, ⌈I/columns⌉];
 * zero_point: I8, same shape (zeros when symmetric). With strategy tensor_group the largest magnitudes of the groups stand in place of the scales: see tensorGroupScales.
 * permutation I32 [I] or null: groups are formed over weight[:, permutation] (actorder group).
 */
export const weightScales = (weight: Tensor, permutation: Tensor | null, options: WeightObserverArgs): [Tensor, Tensor] =>
  two(weight.device.enqueue('weight_scales', [weight, permutation], { ...options }));
/**
 * weightScales with what only some observers need: a range that begins wider than the extremes (expand), and importance F32 [I] of the columns, of any common factor,
 * or null where all weigh alike (observer imatrix).
 */
export const searchScales = (
  weight: Tensor,
  permutation: Tensor | null,
  importance: Tensor | null,
  options: WeightObserverArgs,
): [Tensor, Tensor] => two(weight.device.enqueue('search_scales', [weight, permutation, importance], { ...options }));
/** Scale and zero point of weight [O, I] as weightScales gives them, the mean magnitude of every cell; levels ternary and binary. */
export const absmeanScales = (weight: Tensor, permutation: Tensor | null, options: WeightArgs): [Tensor, Tensor] =>
  two(weight.device.enqueue('absmean_scales', [weight, permutation], { ...options }));
/** Ranges of inputs x [T, I] (any weight dtype) by an observer: F32 [2, G], minima then maxima; group_size 0: one range, else one for every group of columns. */
export const activationRanges = (x: Tensor, options: GridArgs & RangeSearchArgs & { group_size: number }): Tensor =>
  one(x.device.enqueue('activation_ranges', [x], { ...options }));
/** NVFP4: global scale F32 [1] from the largest magnitude F32 [1] of all tensors that share it, rounded to `dtype`. */
export const globalScale = (largest: Tensor, dtype: DType): Tensor => one(largest.device.enqueue('global_scale', [largest], { dtype }));
/** NVFP4: scales F8_E4M3 [O, G] from the largest magnitudes of the groups [O, G] and the global scale. */
export const tensorGroupScales = (largest: Tensor, global: Tensor): Tensor =>
  one(largest.device.enqueue('tensor_group_scales', [largest, global]));
/** NVFP4: scale / global scale, F32 [O, G]: what weights are divided by. */
export const effectiveScales = (scale: Tensor, global: Tensor): Tensor => one(scale.device.enqueue('effective_scales', [scale, global]));
/**
 * Round to nearest: weight [O, I], scale as weightScales gives (or F32), zero_point, g_idx I32 [I] (column → group) or null → codes [O, I]: I8 (integers),
 * F8_E4M3 (floats of 8 bits) or U8 (floats of 4 bits, one per byte).
 */
export const quantizeRtn = (weight: Tensor, scale: Tensor, zeroPoint: Tensor, gIdx: Tensor | null, options: WeightArgs): Tensor =>
  one(weight.device.enqueue('quantize_rtn', [weight, scale, zeroPoint, gIdx], { ...options }));
/** (q − zero_point) · scale in the dtype of the scale: codes [O, I] → [O, I]. */
export const dequantize = (q: Tensor, scale: Tensor, zeroPoint: Tensor | null, gIdx: Tensor | null, options: WeightArgs): Tensor =>
  one(q.device.enqueue('dequantize', [q, scale, zeroPoint, gIdx], { ...options }));

// ---- HQQ (Badri and Shaji, 2023) -------------------------------------------------------------------------------------------

export interface HqqArgs {
  lp_norm: number;
  beta: number;
  kappa: number;
  iters: number;
}
/**
 * Scales (shape and dtype of those given) that make Σ |x̂ − x|^lp_norm per cell of weight [O, I] small under the zero points given, and F64 [3]: cells whose scale moved, the
 * sum before and after. Integers per channel or group.
 */
export const hqqScales = (weight: Tensor, scale: Tensor, zeroPoint: Tensor, options: WeightArgs & HqqArgs): [Tensor, Tensor] =>
  two(weight.device.enqueue('hqq_scales', [weight, scale, zeroPoint], { ...options }));

// ---- GPTQ (Frantar et al., arXiv 2210.17323) -------------------------------------------------------------------------------

/**
 * Upper factor R with H + damping = R Rᵀ for columns in the given order. H F32 [I, I], permutation I32 [I] or null.
 * Dead columns (zero diagonal) get diagonal 1. Answers R F32 [I, I] and info F64 [4]: damping used as a multiple of mean diag(H), dead columns, retries, mean diag(H).
 * A factorization that fails in single precision is retried in double with the same damping, then with damping × 10 up to 1.0: info says so, nothing is silent; a failure after that is an error.
 */
export const gptqFactor = (hessian: Tensor, permutation: Tensor | null, options: { dampening_frac: number }): [Tensor, Tensor] =>
  two(hessian.device.enqueue('gptq_factor', [hessian, permutation], options));
/** U = R⁻¹ of gptqFactor's, upper: (H + damping)⁻¹ = UᵀU. */
export const inverseFactor = (factor: Tensor): Tensor => one(factor.device.enqueue('inverse_factor', [factor]));
/** Columns ordered by descending diag(H) (stable): F32 [I, I] → I32 [I]. */
export const hessianOrder = (hessian: Tensor): Tensor => one(hessian.device.enqueue('hessian_order', [hessian]));
/**
 * Column-by-column rounding with error feedback. weight [O, I] in original order, factor R in permuted order, scale and zero_point by group, permutation I32 [I] or null,
 * g_idx I32 [I] (original column → group) or null for contiguous groups of the original order. Columns whose entry of `dead` (U8 [I], original order, or null) is 1 are set to zero first. → codes [O, I] as quantizeRtn's, in original order, loss F64 [O].
 */
export const quantizeGptq = (
  weight: Tensor,
  factor: Tensor,
  scale: Tensor,
  zeroPoint: Tensor,
  permutation: Tensor | null,
  gIdx: Tensor | null,
  dead: Tensor | null,
  options: WeightArgs & { block_size: number },
): [Tensor, Tensor] =>
  two(weight.device.enqueue('quantize_gptq', [weight, factor, scale, zeroPoint, permutation, gIdx, dead], { ...options }));
/** U8 [I]: 1 where diag(H) is zero. */
export const deadColumns = (hessian: Tensor): Tensor => one(hessian.device.enqueue('dead_columns', [hessian]));

// ---- Beacon (Zhang and Saab, arXiv 2508.20293), COMQ (arXiv 2403.07134), GPFQ (arXiv 2201.11113), Qronos (arXiv 2505.11695) ---

/**
 * weight [O, I], H F32 [I, I], factor as gptqFactor's in the original order (null per channel), scale and zero_point of the observer (channel or group), dead U8 [I] or
 * null, codes I8 [O, I] to begin with in place of the greedy start or null (per channel) → codes I8 [O, I], scale, zero_point I8, and objective F64 [O, n_sweeps + 1]:
 * how much of ‖Xw‖² the codes explain after the start and after each sweep.
 */
export const quantizeBeacon = (
  weight: Tensor,
  hessian: Tensor,
  factor: Tensor | null,
  scale: Tensor,
  zeroPoint: Tensor,
  dead: Tensor | null,
  codes: Tensor | null,
  options: WeightArgs & { n_sweeps: number; centering: boolean },
): [Tensor, Tensor, Tensor, Tensor] => {
  const [q, found, zero, objective] = weight.device.enqueue('quantize_beacon', [weight, hessian, factor, scale, zeroPoint, dead, codes], {
    ...options,
  });
  return [q!, found!, zero!, objective!];
};
/** weight [O, I], H F32 [I, I], scale and zero_point (channel or group), kept U8 [O, I] or null, 1 where the weight is to be zero → codes I8 [O, I], scale, and wᵀHw of what is left F64 [O]. */
export const quantizeComq = (
  weight: Tensor,
  hessian: Tensor,
  scale: Tensor,
  zeroPoint: Tensor,
  kept: Tensor | null,
  options: WeightArgs & { n_iters: number },
): [Tensor, Tensor, Tensor] => {
  const [q, found, error] = weight.device.enqueue('quantize_comq', [weight, hessian, scale, zeroPoint, kept], { ...options });
  return [q!, found!, error!];
};
/** weight [O, I], H = X̃ᵀX̃ and C = XᵀX̃ F32 [I, I] (null: H), scale, zero_point, kept as above → codes I8 [O, I]. */
export const quantizeGpfq = (
  weight: Tensor,
  hessian: Tensor,
  cross: Tensor | null,
  scale: Tensor,
  zeroPoint: Tensor,
  kept: Tensor | null,
  options: WeightArgs,
): Tensor => one(weight.device.enqueue('quantize_gpfq', [weight, hessian, cross, scale, zeroPoint, kept], { ...options }));
/** The weight F32 [O, I] that gives on X̃ the closest to XW: H, C and the factor as above, the factor in the original order of columns. */
export const correctedWeight = (weight: Tensor, hessian: Tensor, cross: Tensor, factor: Tensor, strength: number): Tensor =>
  one(weight.device.enqueue('corrected_weight', [weight, hessian, cross, factor], { strength }));
/** Qronos before its walk, which is quantizeGptq's: the corrected weight with the first column of the permutation on the grid and that column's error spread, F32 [O, I]. The factor is in the order of the permutation. */
export const qronosStart = (
  weight: Tensor,
  corrected: Tensor,
  hessian: Tensor,
  cross: Tensor,
  factor: Tensor,
  scale: Tensor,
  zeroPoint: Tensor,
  permutation: Tensor | null,
  options: WeightArgs,
): Tensor =>
  one(weight.device.enqueue('qronos_start', [weight, corrected, hessian, cross, factor, scale, zeroPoint, permutation], { ...options }));

// ---- VPTQ (arXiv 2409.17066) -----------------------------------------------------------------------------------------------

/** What quantize_vptq answers; residual and outliers where they are asked for. */
export interface VptqCodes {
  /** I32 [groups, ⌈O / vector_len⌉, columns of a group], that of the second codebook in the bits above the first's. */
  indices: Tensor;
  /** Weight dtype, [groups, entries · vector_len]. */
  centroids: Tensor;
  resCentroids: Tensor | null;
  /** Weight dtype, [I]. */
  scale: Tensor;
  bias: Tensor;
  /** F64 [codebooks, kiter + 1]: the error of each k-means, NaN behind the last iteration. */
  errors: Tensor;
  /** I32 [1, ⌈O / 4⌉, columns] and weight dtype [1, entries · 4]. */
  outliers: { indices: Tensor; centroids: Tensor } | null;
}
/** weight [O, I] (weight dtypes), the factor of the inverse Hessian F32 [I, I] and diag(H) F32 [I] or none, order of the columns I32 [I] or none. */
export function quantizeVptq(
  weight: Tensor,
  factor: Tensor | null,
  diagonal: Tensor | null,
  order: Tensor | null,
  options: {
    vector_len: number;
    num_centroids: number;
    num_res_centroids: number;
    group_num: number;
    outlier_size: number;
    outlier_num_centroids: number;
    enable_norm: boolean;
    /** Groups and outliers are formed along the order. */
    stores_order: boolean;
    kiter: number;
    ktol: number;
    kseed: number;
    block_size: number;
  },
): VptqCodes {
  const [indices, centroids, scale, bias, errors, ...more] = weight.device.enqueue(
    'quantize_vptq',
    [weight, factor, diagonal, order],
    options,
  );
  if (!indices || !centroids || !scale || !bias || !errors) throw new Error('quantize_vptq answered fewer than five results.');
  const resCentroids = options.num_res_centroids > 0 ? (more.shift() ?? null) : null;
  const [outlierIndices, outlierCentroids] = more;
  const outliers = outlierIndices && outlierCentroids ? { indices: outlierIndices, centroids: outlierCentroids } : null;
  return { indices, centroids, resCentroids, scale, bias, errors, outliers };
}

// ---- what became of a weight -----------------------------------------------------------------------------------------------

/** Share of weights whose unclamped code lies outside the grid: F64 [1]. */
export const clippedShare = (weight: Tensor, scale: Tensor, zeroPoint: Tensor, gIdx: Tensor | null, options: WeightArgs): Tensor =>
  one(weight.device.enqueue('clipped_share', [weight, scale, zeroPoint, gIdx], { ...options }));
