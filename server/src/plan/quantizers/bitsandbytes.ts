// The fields of BitsAndBytesModifier, with the defaults of QLoRA, and the one scheme that it has.
import type { BitsAndBytesPlan, QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import { nf4Scheme } from '../../../../schemas/src/model/quantization-config.js';
import { booleanOf, textOf } from '../../recipe/coerce.js';
import type { QuantizerFields } from './quantizer-plan.js';

const computeTypes: readonly BitsAndBytesPlan['bnb_4bit_compute_dtype'][] = ['bfloat16', 'float16', 'float32'];

export const bitsandbytesPlan: QuantizerFields<BitsAndBytesPlan> = (body) => ({
  bnb_4bit_use_double_quant: booleanOf(body['bnb_4bit_use_double_quant'], true),
  bnb_4bit_compute_dtype: computeTypes.find((name) => name === textOf(body['bnb_4bit_compute_dtype'], '')) ?? 'bfloat16',
});

export const bitsandbytesScheme = (body: Readonly<Record<string, unknown>>): QuantizationScheme =>
  nf4Scheme(booleanOf(body['bnb_4bit_use_double_quant'], true));
