// Native operations of worker/native/forward: what calibration and evaluation run, and its gradients.
// T tokens, I in_features (columns), O out_features (rows), V vocabulary, G scale groups per row; activations are F32.
import type { GridArgs } from '../grid-args.js';
import type { Tensor } from '../tensor.js';
import { one, three, two } from './results.js';

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
 * Causal grouped-query attention over documents that lie behind each other: q F32 [Q, n_heads·head_dim] of the tokens from first_query (0) on, k and v
 * F32 [T, n_kv_heads·head_dim], offsets I32 [documents + 1] with offsets[0] = 0 and the last = T. sliding_window 0 = none, else a token sees itself and
 * the window − 1 before it.
 */
export const attention = (
  q: Tensor,
  k: Tensor,
  v: Tensor,
  offsets: Tensor,
  options: { n_heads: number; n_kv_heads: number; head_dim: number; scale: number; sliding_window: number; first_query?: number },
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

// ---- gradients: dy F32 is that of the result, and the gradient for an input has its shape ----

/** dy F32 [T, O] · weight [O, I] (any float type) → F32 [T, I]. */
export const linearBackward = (dy: Tensor, weight: Tensor): Tensor => one(dy.device.enqueue('linear_backward', [dy, weight]));
export const rmsnormBackward = (x: Tensor, weight: Tensor, dy: Tensor, eps: number): Tensor =>
  one(x.device.enqueue('rmsnorm_backward', [x, weight, dy], { eps }));
/** Of gate and up. */
export const siluMulBackward = (gate: Tensor, up: Tensor, dy: Tensor): [Tensor, Tensor] =>
  two(gate.device.enqueue('silu_mul_backward', [gate, up, dy]));
/** Of q, k and v. */
export const attentionBackward = (
  q: Tensor,
  k: Tensor,
  v: Tensor,
  offsets: Tensor,
  dy: Tensor,
  options: Parameters<typeof attention>[4],
): [Tensor, Tensor, Tensor] => three(q.device.enqueue('attention_backward', [q, k, v, offsets, dy], options));
/** Of the sum of the rows' cross entropies, for the logits: softmax less one at the target. */
export const crossEntropyBackward = (logits: Tensor, targets: Tensor): Tensor =>
  one(logits.device.enqueue('cross_entropy_backward', [logits, targets]));
