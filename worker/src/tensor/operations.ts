// The list of native operations as typed functions: shapes, units and sources. The same names stand in worker/native, for every backend.
// Shapes: T tokens, I in_features (columns), O out_features (rows), V vocabulary, G scale groups per row.
// All activations are F32. Accumulating operations change their first input in place and answer nothing.
import type { Levels } from '../../../schemas/src/levels.js';
import type { DType } from '../native-core.js';
import type { Tensor } from './tensor.js';

function one(results: Tensor[]): Tensor {
  const [result] = results;
  if (result === undefined || results.length !== 1)
    throw new Error(`A native operation answered ${results.length} results where one was expected.`);
  return result;
}

function two(results: Tensor[]): [Tensor, Tensor] {
  const [first, second] = results;
  if (first === undefined || second === undefined || results.length !== 2)
    throw new Error(`A native operation answered ${results.length} results where two were expected.`);
  return [first, second];
}

function three(results: Tensor[]): [Tensor, Tensor, Tensor] {
  const [first, second, third] = results;
  if (first === undefined || second === undefined || third === undefined || results.length !== 3)
    throw new Error(`A native operation answered ${results.length} results where three were expected.`);
  return [first, second, third];
}

// ---- storage -------------------------------------------------------------------------------------------------------

/** Converts between float types, round to nearest even. */
export const cast = (x: Tensor, dtype: DType): Tensor => one(x.device.enqueue('cast', [x], { dtype }));
/** Same storage, another shape of equal size. */
export const reshape = (x: Tensor, shape: readonly number[]): Tensor => one(x.device.enqueue('reshape', [x], { shape: shape.join(',') }));
/** Rows start … start+length of the leading dimension; shares storage. */
export const narrow = (x: Tensor, start: number, length: number): Tensor => one(x.device.enqueue('narrow', [x], { start, length }));
/** Tensors that differ in their leading dimension alone, at most 8, one below the other: [O₁, …], [O₂, …] → [O₁ + O₂, …]; a copy. */
export function stackRows(tensors: readonly Tensor[]): Tensor {
  const [first] = tensors;
  if (first === undefined) throw new Error('Rows of no tensor were to be stacked.');
  return one(first.device.enqueue('stack_rows', tensors));
}
/** x[:, permutation] for x [O, I], permutation I32 [I]; any dtype. */
export const gatherColumns = (x: Tensor, permutation: Tensor): Tensor => one(x.device.enqueue('gather_columns', [x, permutation]));

// ---- forward -------------------------------------------------------------------------------------------------------

/** table [V, I] (any float type), ids I32 [T] → F32 [T, I]. An id outside [0, V) fails. */
export const embedding = (table: Tensor, ids: Tensor): Tensor => one(table.device.enqueue('embedding', [table, ids]));
/** x F32 [T, I] · weightᵀ, weight [O, I] (any float type), bias [O] or null → F32 [T, O]. */
export const linear = (x: Tensor, weight: Tensor, bias: Tensor | null): Tensor => one(x.device.enqueue('linear', [x, weight, bias]));
/** Root-mean-square norm over the last `weight.shape[0]` columns of each row (x [T, n·I] is normed per head): x / sqrt(mean(x²) + eps) · weight. Zhang and Sennrich, arXiv 1910.07467. */
export const rmsnorm = (x: Tensor, weight: Tensor, eps: number): Tensor => one(x.device.enqueue('rmsnorm', [x, weight], { eps }));
export const add = (a: Tensor, b: Tensor): Tensor => one(a.device.enqueue('add', [a, b]));
/** silu(gate) · up. Shazeer, arXiv 2002.05202. */
export const siluMul = (gate: Tensor, up: Tensor): Tensor => one(gate.device.enqueue('silu_mul', [gate, up]));
/** Rotary embedding, half-split layout: x F32 [T, heads·head_dim]; cos, sin F32 [positions, rotary_dim/2]; position_ids I32 [T]. Su et al., arXiv 2104.09864. */
export const rope = (x: Tensor, cos: Tensor, sin: Tensor, positionIds: Tensor, headDim: number): Tensor =>
  one(x.device.enqueue('rope', [x, cos, sin, positionIds], { head_dim: headDim }));
/**
 * Causal grouped-query attention over documents that lie behind each other: q F32 [T, n_heads·head_dim], k and v F32 [T, n_kv_heads·head_dim],
 * offsets I32 [documents + 1] with offsets[0] = 0 and the last = T. sliding_window 0 = none, else a token sees itself and the window − 1 before it.
 */
export const attention = (
  q: Tensor,
  k: Tensor,
  v: Tensor,
  offsets: Tensor,
  options: { n_heads: number; n_kv_heads: number; head_dim: number; scale: number; sliding_window: number },
): Tensor => one(q.device.enqueue('attention', [q, k, v, offsets], options));
/** −log softmax(logits)[target] per row in nats: logits F32 [T, V], targets I32 [T] (−1: 0) → F64 [T]. */
export const crossEntropy = (logits: Tensor, targets: Tensor): Tensor => one(logits.device.enqueue('cross_entropy', [logits, targets]));
/**
 * P and Q the softmax of two logits F32 [T, V], targets I32 [T] (−1: zeros) → F64 [T, 4]: KL(P ‖ Q) in nats (Kullback and Leibler, 1951), log P[target],
 * log Q[target], 1 where the largest logit of both is the same token.
 */
export const logitDivergence = (original: Tensor, logits: Tensor, targets: Tensor): Tensor =>
  one(original.device.enqueue('logit_divergence', [original, logits, targets]));
/** The first of the largest logits of each row: F32 [T, V] → I32 [T]. */
export const argmax = (logits: Tensor): Tensor => one(logits.device.enqueue('argmax', [logits]));
/** cache[rows[t]] ← x[t]: cache F32 [R, I] in place, x F32 [T, I], rows I32 [T]. */
export const storeRows = (cache: Tensor, x: Tensor, rows: Tensor): void => {
  cache.device.enqueue('store_rows', [cache, x, rows]);
};
/** One new token per document: q F32 [D, n_heads·head_dim] over the first lengths[d] rows of k and v F32 [D·C, n_kv_heads·head_dim], lengths I32 [D]. */
export const cachedAttention = (q: Tensor, k: Tensor, v: Tensor, lengths: Tensor, options: Parameters<typeof attention>[4]): Tensor =>
  one(q.device.enqueue('cached_attention', [q, k, v, lengths], options));
/** What a code can stand for: integers of 1 to 8 bits, E4M3 (float, 8) or E2M1 (float, 4). */
export interface GridArgs {
  /** int where it is left out. */
  type?: 'int' | 'float';
  num_bits: number;
  symmetric: boolean;
  /** Which of the integers are codes; left out: every one. */
  levels?: Levels;
  /** Scales are powers of two (MXFP4, MXFP8). */
  mx?: boolean;
}
/** Quantize-dequantize of inputs at run time: x F32 [T, I]; the scale follows compressed-tensors (symmetric integers: absmax / ((2^b − 1)/2)). */
export const fakeQuantizeDynamic = (
  x: Tensor,
  options: GridArgs & { strategy: 'token' | 'tensor' | 'group'; /** Columns per scale with strategy group. */ group_size?: number },
): Tensor => one(x.device.enqueue('fake_quantize_dynamic', [x], { ...options }));
/** NVFP4 inputs: groups of x F32 [T, I] at run time under a calibrated global scale F32 [1]. */
export const fakeQuantizeLocal = (x: Tensor, globalScale: Tensor, options: { group_size: number }): Tensor =>
  one(
    x.device.enqueue('fake_quantize_local', [x, globalScale], {
      ...options,
      type: 'float',
      num_bits: 4,
      symmetric: true,
      strategy: 'tensor_group',
    }),
  );
/** Quantize-dequantize of inputs with a stored scale [1] and zero point I8 [1] or null. */
export const fakeQuantizeStatic = (x: Tensor, scale: Tensor, zeroPoint: Tensor | null, options: GridArgs): Tensor =>
  one(x.device.enqueue('fake_quantize_static', [x, scale, zeroPoint], { ...options }));

// ---- observers -----------------------------------------------------------------------------------------------------

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

// ---- scales, quantize, dequantize (compressed-tensors arithmetic: every step rounded to the dtype of the weight) -----

export interface WeightArgs extends GridArgs {
  strategy: 'tensor' | 'channel' | 'group' | 'tensor_group' | 'block';
  /** 0 unless strategy is group or tensor_group. */
  group_size: number;
  /** Shape of a block, with strategy block. */
  block_rows?: number;
  block_columns?: number;
}
/** The search of a range, see worker/native/quantizers/range-search.h; minmax ignores all but its name. */
export interface RangeSearchArgs {
  observer: 'minmax' | 'mse' | 'imatrix';
  maxshrink: number;
  patience: number;
  grid: number;
  norm: number;
  /** The range that the search begins with, as a multiple of the extremes; left out: 1. */
  expand?: number;
}
export interface WeightObserverArgs extends WeightArgs, RangeSearchArgs {}

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
/** Scale [1] F32 and zero point I8 [1] of static activations from a range F32 [2]. */
export const activationScale = (range: Tensor, options: GridArgs & { scale_dtype: DType }): [Tensor, Tensor] =>
  two(range.device.enqueue('activation_scale', [range], { ...options }));

// ---- HQQ (Badri and Shaji, 2023) ----------------------------------------------------------------------------------------

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

// ---- GPTQ (Frantar et al., arXiv 2210.17323) --------------------------------------------------------------------------

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

// ---- pruning (SparseGPT, Frantar and Alistarh, arXiv 2301.00774; Wanda, Sun et al., arXiv 2306.11695) ---------------------

/** A share of the weights, or mask_n of every mask_m neighbouring columns where mask_m is not 0. */
export interface SparsityArgs {
  sparsity: number;
  mask_n: number;
  mask_m: number;
}
/** The smallest weights of all become zero: weight [O, I] → the weight in its dtype, and the mask U8 [O, I], 1 where it became zero. */
export const pruneMagnitude = (weight: Tensor, options: { sparsity: number }): [Tensor, Tensor] =>
  two(weight.device.enqueue('prune_magnitude', [weight], options));
/** In every row, or group, those with the smallest |weight| · √importance: weight [O, I], importance F32 [I] (diag(H)) → as pruneMagnitude. */
export const pruneWanda = (weight: Tensor, importance: Tensor, options: SparsityArgs): [Tensor, Tensor] =>
  two(weight.device.enqueue('prune_wanda', [weight, importance], { ...options }));
/**
 * Column by column with error feedback. weight [O, I], factor as inverseFactor's, permutation and dead as quantizeGptq's, kept U8 [O, I] or null: 1 where the weight is to be zero
 * in any case. → the weight in its dtype, mask U8 [O, I], loss F64 [O]. n of m is chosen in the original order of columns alone.
 */
export const pruneSparsegpt = (
  weight: Tensor,
  factor: Tensor,
  dead: Tensor | null,
  kept: Tensor | null,
  options: SparsityArgs & { block_size: number },
): [Tensor, Tensor, Tensor] =>
  three(weight.device.enqueue('prune_sparsegpt', [weight, factor, null, null, null, null, dead, kept], { ...options }));
/** The same while the weights that stay are rounded to the grid of scale and zero_point: codes as quantizeGptq's in place of the weight. */
export const quantizeSparse = (
  weight: Tensor,
  factor: Tensor,
  scale: Tensor,
  zeroPoint: Tensor,
  permutation: Tensor | null,
  gIdx: Tensor | null,
  dead: Tensor | null,
  kept: Tensor | null,
  options: WeightArgs & SparsityArgs & { block_size: number },
): [Tensor, Tensor, Tensor] =>
  three(weight.device.enqueue('prune_sparsegpt', [weight, factor, scale, zeroPoint, permutation, gIdx, dead, kept], { ...options }));
/** Where |weight| ≤ epsilon: mask U8 [O, I]; and F64 [2]: how many, and rows of nothing else. */
export const zeroMask = (weight: Tensor, options: { epsilon: number }): [Tensor, Tensor] =>
  two(weight.device.enqueue('zero_mask', [weight], options));

// ---- Beacon (Zhang and Saab, arXiv 2508.20293), COMQ (arXiv 2403.07134), GPFQ (arXiv 2201.11113), Qronos (arXiv 2505.11695) ----

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

// ---- SmoothQuant (Xiao et al., arXiv 2211.10438) ------------------------------------------------------------------------

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

// ---- AWQ (Lin et al., arXiv 2306.00978) ----------------------------------------------------------------------------------

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

// ---- corrections behind a quantizer (Nagel et al., arXiv 1906.04721; Banner et al., arXiv 1810.05723) -------------------------

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

// ---- rotations (Ashkboos et al., arXiv 2404.00456) ---------------------------------------------------------------------------

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

// ---- formats (reference: compressed-tensors) -------------------------------------------------------------------------

/** q I8 [O, I] → I32: axis 1 packs along columns [O, ⌈I·b/32⌉], axis 0 along rows [⌈O·b/32⌉, I]. Offset 2^(b−1), low bits first, dense. */
export const packInt32 = (q: Tensor, options: { num_bits: number; axis: 0 | 1 }): Tensor =>
  one(q.device.enqueue('pack_int32', [q], options));
export const unpackInt32 = (packed: Tensor, options: { num_bits: number; axis: 0 | 1; rows: number; columns: number }): Tensor =>
  one(packed.device.enqueue('unpack_int32', [packed], options));

/** Codes U8 [O, I] of 4 bits → U8 [O, I/2], the even column in the low nibble. */
export const packFp4 = (q: Tensor): Tensor => one(q.device.enqueue('pack_fp4', [q]));
export const unpackFp4 = (packed: Tensor): Tensor => one(packed.device.enqueue('unpack_fp4', [packed]));
/** Scales that are powers of two → their E8M0 bytes U8, 127 + log2; and back, as BF16. */
export const e8m0Codes = (scale: Tensor): Tensor => one(scale.device.enqueue('e8m0_codes', [scale]));
export const e8m0Scales = (codes: Tensor): Tensor => one(codes.device.enqueue('e8m0_scales', [codes]));

// ---- blocks of a codebook, as bitsandbytes stores weights (QLoRA, arXiv 2305.14314) ------------------------------------

/** Values of any shape (weight dtypes), codebook F32 [≤ 256] ascending → codes U8 [n] and the largest magnitudes of the blocks, F32 [⌈n / blocksize⌉]. */
export const blockwiseCodes = (x: Tensor, codebook: Tensor, options: { blocksize: number }): [Tensor, Tensor] =>
  two(x.device.enqueue('blockwise_codes', [x, codebook], options));
/** codebook[code] · magnitude, plus offset F32 [1] where there is one: codes U8 of rows · columns values → [rows, columns] in `dtype`. */
export const blockwiseValues = (
  codes: Tensor,
  magnitudes: Tensor,
  codebook: Tensor,
  offset: Tensor | null,
  options: { blocksize: number; rows: number; columns: number; dtype: DType },
): Tensor => one(codes.device.enqueue('blockwise_values', [codes, magnitudes, codebook, offset], options));
/** F32 [n] → the same less its mean, and the mean F32 [1]. */
export const center = (x: Tensor): [Tensor, Tensor] => two(x.device.enqueue('center', [x]));
/** Codes U8 [n] below 16 → U8 [⌈n / 2⌉, 1], the first in the high nibble; and back. */
export const packNibbles = (codes: Tensor): Tensor => one(codes.device.enqueue('pack_nibbles', [codes]));
export const unpackNibbles = (packed: Tensor, options: { count: number }): Tensor =>
  one(packed.device.enqueue('unpack_nibbles', [packed], options));

// ---- codebooks of vectors (VPTQ, arXiv 2409.17066) ------------------------------------------------------------------------

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
/** I32 [groups, vectors, columns] of `bits` each → I32 [groups, vectors, ⌈columns · bits / 32⌉], the least bits first. */
export const vptqPack = (indices: Tensor, options: { bits: number }): Tensor =>
  one(indices.device.enqueue('vptq_pack', [indices], options));
/** The weight [rows, columns] that a reader gets, in the dtype of the codebook; outlier indices and perm I32. */
export const vptqValues = (
  stored: {
    packed: Tensor;
    centroids: Tensor;
    resCentroids: Tensor | null;
    outliers: { indices: Tensor; centroids: Tensor } | null;
    perm: Tensor | null;
    norm: { scale: Tensor; bias: Tensor } | null;
  },
  options: { rows: number; columns: number; vector_len: number; outlier_vector_len: number },
): Tensor => {
  const { packed, centroids, resCentroids, outliers, perm, norm } = stored;
  const inputs = [
    packed,
    centroids,
    resCentroids,
    outliers?.indices ?? null,
    outliers?.centroids ?? null,
    perm,
    norm?.scale ?? null,
    norm?.bias ?? null,
  ];
  return one(packed.device.enqueue('vptq_values', inputs, options));
};

// ---- blocks of GGUF files (llama.cpp's types) ---------------------------------------------------------------------------

/** Types with an encoder here: blocks of 32 weights, those of k-quants 256. */
export type GgufType = 'Q8_0' | 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q2_K' | 'Q3_K' | 'Q4_K' | 'Q5_K' | 'Q6_K';
/** weight [O, I], importance F32 [I] of its columns (mean squared input) or null → blocks U8 [O, bytes of a row]. */
export const ggufEncode = (weight: Tensor, importance: Tensor | null, gguf_type: GgufType): Tensor =>
  one(weight.device.enqueue('gguf_encode', [weight, importance], { gguf_type }));
/** Blocks U8 [O, bytes of a row] → F32 [O, I], as every reader of the format computes them. */
export const ggufDecode = (blocks: Tensor, gguf_type: GgufType): Tensor =>
  one(blocks.device.enqueue('gguf_decode', [blocks], { gguf_type }));

// ---- metrics -----------------------------------------------------------------------------------------------------------

/** F64 [6]: Σa², Σb², Σ(a−b)², Σab, max|a−b|, max|a|. Any float types, equal shapes. */
export const compare = (a: Tensor, b: Tensor): Tensor => one(a.device.enqueue('compare', [a, b]));
/** F64 [2]: tr(ΔW H ΔWᵀ) and tr(W H Wᵀ) with ΔW = W − What. */
export const hessianError = (weight: Tensor, quantized: Tensor, hessian: Tensor): Tensor =>
  one(weight.device.enqueue('hessian_error', [weight, quantized, hessian]));
/** I64 [n_bins + 2]: counts in equal bins over [min, max], then below, then above. */
export const histogram = (x: Tensor, options: { min: number; max: number; n_bins: number }): Tensor =>
  one(x.device.enqueue('histogram', [x], options));
/** F64 [9]: count, NaNs, infinities, min, max, sum, sum of squares, absmax (of the finite values), index of the first value that is not finite or −1. */
export const summary = (x: Tensor): Tensor => one(x.device.enqueue('summary', [x]));
/** Share of weights whose unclamped code lies outside the grid: F64 [1]. */
export const clippedShare = (weight: Tensor, scale: Tensor, zeroPoint: Tensor, gIdx: Tensor | null, options: WeightArgs): Tensor =>
  one(weight.device.enqueue('clipped_share', [weight, scale, zeroPoint, gIdx], { ...options }));
/** U8 [I]: 1 where diag(H) is zero. */
export const deadColumns = (hessian: Tensor): Tensor => one(hessian.device.enqueue('dead_columns', [hessian]));
