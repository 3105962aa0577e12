// Native operations of worker/native/metrics: what a report says of two tensors, or of one.
// T tokens, I in_features (columns), O out_features (rows), V vocabulary, G scale groups per row; activations are F32.
import type { Tensor } from '../tensor.js';
import { one } from './results.js';

/** F64 [6]: Σa², Σb², Σ(a−b)², Σab, max|a−b|, max|a|. Any float types, equal shapes. */
export const compare = (a: Tensor, b: Tensor): Tensor => one(a.device.enqueue('compare', [a, b]));
/** F64 [2]: tr(ΔW H ΔWᵀ) and tr(W H Wᵀ) with ΔW = W − What. */
export const hessianError = (weight: Tensor, quantized: Tensor, hessian: Tensor): Tensor =>
  one(weight.device.enqueue('hessian_error', [weight, quantized, hessian]));
/** F64 [2]: Σ F (W − What)² and Σ F, any float types of one shape. */
export const fisherError = (W: Tensor, What: Tensor, F: Tensor): Tensor => one(W.device.enqueue('fisher_error', [W, What, F]));
/** I64 [n_bins + 2]: counts in equal bins over [min, max], then below, then above. */
export const histogram = (x: Tensor, options: { min: number; max: number; n_bins: number }): Tensor =>
  one(x.device.enqueue('histogram', [x], options));
/** F64 [9]: count, NaNs, infinities, min, max, sum, sum of squares, absmax (of the finite values), index of the first value that is not finite or −1. */
export const summary = (x: Tensor): Tensor => one(x.device.enqueue('summary', [x]));
