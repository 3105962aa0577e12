// The fields of BitsAndBytesModifier, with the defaults of QLoRA, and the one scheme that it has.
import type { BitsAndBytesPlan, QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import { booleanOf, textOf } from '../../recipe/coerce.js';
import type { QuantizerFields } from './quantizer-plan.js';

const computeTypes: readonly BitsAndBytesPlan['bnb_4bit_compute_dtype'][] = ['bfloat16', 'float16', 'float32'];

export const bitsandbytesPlan: QuantizerFields<BitsAndBytesPlan> = (body) => ({
  bnb_4bit_use_double_quant: booleanOf(body['bnb_4bit_use_double_quant'], true),
  bnb_4bit_compute_dtype: computeTypes.find((name) => name === textOf(body['bnb_4bit_compute_dtype'], '')) ?? 'bfloat16',
});

/** Blocks of 64 weights, end to end through the rows. `scale_dtype` tells double quantization from magnitudes in 32 bits. */
export const bitsandbytesScheme = (body: Readonly<Record<string, unknown>>): QuantizationScheme => ({
  weights: {
    num_bits: 4,
    type: 'float',
    symmetric: true,
    codebook: 'nf4',
    strategy: 'group',
    group_size: 64,
    block_structure: null,
    dynamic: false,
    actorder: null,
    scale_dtype: booleanOf(body['bnb_4bit_use_double_quant'], true) ? 'torch.uint8' : 'torch.float32',
    zp_dtype: null,
    observer: null,
    observer_kwargs: {},
  },
  input_activations: null,
  output_activations: null,
  format: 'bitsandbytes',
});
