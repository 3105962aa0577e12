// Weights whose storage is made by their method itself, without a grid of scales beside it: NF4 of bitsandbytes, the vectors of vptq and the blocks of GGUF.
import type { QuantizationArgs, QuantizationScheme, Vectors } from './generated/plan.js';

/** What a method says of its own storage, in the order that the plan has it in. */
type Storage = Pick<QuantizationArgs, 'num_bits' | 'type' | 'symmetric' | 'strategy' | 'group_size'> &
  Partial<Pick<QuantizationArgs, 'codebook' | 'vectors' | 'gguf_type' | 'gguf_asked' | 'gguf_heads'>>;

/** A scheme that leaves activations alone and observes nothing. The hash of a plan sees the order of its keys. */
export const encodedScheme = (
  format: QuantizationScheme['format'],
  storage: Storage,
  scale_dtype: QuantizationArgs['scale_dtype'] = null,
): QuantizationScheme => ({
  weights: {
    ...storage,
    block_structure: null,
    dynamic: false,
    actorder: null,
    scale_dtype,
    zp_dtype: null,
    observer: null,
    observer_kwargs: {},
  },
  input_activations: null,
  output_activations: null,
  format,
});

export const isEncoded = ({ codebook, gguf_type }: Pick<QuantizationArgs, 'codebook' | 'gguf_type'>): boolean =>
  codebook !== undefined || gguf_type !== undefined;

/** Short text of what such weights are stored as, e.g. nf4 g64, double quantized, or Q5_0 (for Q4_K); null for others. */
export function encodedText({ codebook, vectors, group_size, scale_dtype, gguf_type, gguf_asked }: QuantizationArgs): string | null {
  if (gguf_type !== undefined) return gguf_asked === undefined ? gguf_type : `${gguf_type} (for ${gguf_asked})`;
  if (vectors !== undefined) return vectorsText(vectors);
  return codebook === undefined ? null : `${codebook} g${group_size ?? 0}${scale_dtype === 'torch.uint8' ? ', double quantized' : ''}`;
}

/** vptq v4 k256, k256+64 with a second codebook, g2 with two groups, 8 outliers. */
const vectorsText = ({ vector_len, num_centroids, num_res_centroids, group_num, outlier_size }: Vectors): string =>
  `vptq v${vector_len} k${num_centroids}${num_res_centroids > 0 ? `+${num_res_centroids}` : ''}${group_num > 1 ? ` g${group_num}` : ''}${outlier_size > 0 ? `, ${outlier_size} outliers` : ''}`;
