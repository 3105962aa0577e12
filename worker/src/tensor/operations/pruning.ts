// Native operations of worker/native/pruning: SparseGPT (Frantar and Alistarh, arXiv 2301.00774) and Wanda (Sun et al., arXiv 2306.11695).
// T tokens, I in_features (columns), O out_features (rows), V vocabulary, G scale groups per row; activations are F32.
import type { WeightArgs } from '../grid-args.js';
import type { Tensor } from '../tensor.js';
import { three, two } from './results.js';

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
