// Native operations of worker/native/formats: how codes and scales lie in a file.
// T tokens, I in_features (columns), O out_features (rows), V vocabulary, G scale groups per row; activations are F32.
import type { DType } from '../../native-core.js';
import type { Tensor } from '../tensor.js';
import { one, two } from './results.js';

// ---- formats (reference: compressed-tensors) -------------------------------------------------------------------------------

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

// ---- blocks of a codebook, as bitsandbytes stores weights (QLoRA, arXiv 2305.14314) ----------------------------------------

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

// ---- VPTQ (arXiv 2409.17066) -----------------------------------------------------------------------------------------------

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

// ---- blocks of GGUF files (llama.cpp's types) ------------------------------------------------------------------------------

/** Types with an encoder here: blocks of 32 weights, those of k-quants 256. */
export type GgufType = 'Q8_0' | 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q2_K' | 'Q3_K' | 'Q4_K' | 'Q5_K' | 'Q6_K';
/** weight [O, I], importance F32 [I] of its columns (mean squared input) or null → blocks U8 [O, bytes of a row]. */
export const ggufEncode = (weight: Tensor, importance: Tensor | null, gguf_type: GgufType): Tensor =>
  one(weight.device.enqueue('gguf_encode', [weight, importance], { gguf_type }));
/** Blocks U8 [O, bytes of a row] → F32 [O, I], as every reader of the format computes them. */
export const ggufDecode = (blocks: Tensor, gguf_type: GgufType): Tensor =>
  one(blocks.device.enqueue('gguf_decode', [blocks], { gguf_type }));
