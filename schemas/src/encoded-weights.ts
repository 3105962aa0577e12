// Weights whose storage is made by their method itself, without a grid of scales beside it: NF4 of bitsandbytes, the vectors of vptq and the blocks of GGUF.
import type { QuantizationArgs } from './generated/plan.js';
import { vectorsText } from './model/vptq-config.js';

export const isEncoded = ({ codebook, gguf_type }: Pick<QuantizationArgs, 'codebook' | 'gguf_type'>): boolean =>
  codebook !== undefined || gguf_type !== undefined;

/** Short text of what such weights are stored as, e.g. nf4 g64, double quantized, or Q5_0 (for Q4_K); null for others. */
export function encodedText({ codebook, vectors, group_size, scale_dtype, gguf_type, gguf_asked }: QuantizationArgs): string | null {
  if (gguf_type !== undefined) return gguf_asked === undefined ? gguf_type : `${gguf_type} (for ${gguf_asked})`;
  if (vectors !== undefined) return vectorsText(vectors);
  return codebook === undefined ? null : `${codebook} g${group_size ?? 0}${scale_dtype === 'torch.uint8' ? ', double quantized' : ''}`;
}
