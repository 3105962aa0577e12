// NF4 as bitsandbytes stores it: every weight the nearest of 16 values times the largest magnitude of its block of 64; the magnitudes again in 8 bits.
// Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs", arXiv 2305.14314; the arithmetic is native (formats/blockwise.cc). Needs no data. Cost: O · I.
//
//   weight                 U8 [⌈O · I / 2⌉, 1], two codes in a byte
//   weight.absmax          largest magnitudes of the blocks: F32, or U8 where they are quantized again
//   weight.quant_map       F32 [16], the codebook
//   weight.nested_absmax   F32, one for 256 magnitudes; weight.nested_quant_map their codebook, F32 [256]
//   weight.quant_state.bitsandbytes__nf4   JSON: sizes, dtype, and the mean of the magnitudes (nested_offset)
import type { BitsAndBytesPlan } from '../../../schemas/src/generated/plan.js';
import { dynamic, nf4 } from '../tensor/codebooks.js';
import { blockwiseCodes, blockwiseValues, center, packNibbles } from '../tensor/operations/formats.js';
import type { Tensor } from '../tensor/tensor.js';
import type { EncodedWeight, Encoder } from './encoder.js';

/** bitsandbytes has no other where it is asked for by name alone. */
const nestedBlocksize = 256;

export const bitsandbytes: Encoder<BitsAndBytesPlan> = {
  encode: async ({ layer, plan, weight }) => {
    const { device } = weight;
    const blocksize = layer.scheme?.weights?.group_size ?? 64;
    const { rows, columns } = layer;
    const codebook = device.fromFloats([nf4.length], nf4);
    const [codes, magnitudes] = blockwiseCodes(weight, codebook, { blocksize });
    using ownCodes = codes;
    const packed = packNibbles(ownCodes);
    const state = { quant_type: 'nf4', blocksize, dtype: torchNames[weight.dtype] ?? 'float32', shape: [rows, columns] };
    const values = (of: Tensor): Tensor => blockwiseValues(ownCodes, of, codebook, null, { blocksize, rows, columns, dtype: weight.dtype });
    const grid = await gridOf(magnitudes);
    if (!plan.bnb_4bit_use_double_quant)
      return {
        parts: [
          { suffix: '.weight', tensor: packed },
          { suffix: '.weight.absmax', tensor: magnitudes },
          { suffix: '.weight.quant_map', tensor: codebook },
          { suffix: stateSuffix, tensor: textTensor(weight, pythonJson(state)) },
        ],
        read: values(magnitudes),
        grid,
        problems: [],
      };
    using plain = magnitudes;
    const [centered, offset] = center(plain);
    using ownCentered = centered;
    using ownOffset = offset;
    const nestedCodebook = device.fromFloats([dynamic.length], dynamic);
    const [absmax, nested] = blockwiseCodes(ownCentered, nestedCodebook, { blocksize: nestedBlocksize });
    using back = blockwiseValues(absmax, nested, nestedCodebook, ownOffset, {
      blocksize: nestedBlocksize,
      rows: 1,
      columns: absmax.shape[0] ?? 0,
      dtype: 'F32',
    });
    const [mean = 0] = await ownOffset.readFloats();
    const nestedState = { ...state, nested_blocksize: nestedBlocksize, nested_dtype: 'float32', nested_offset: mean };
    return {
      parts: [
        { suffix: '.weight', tensor: packed },
        { suffix: '.weight.absmax', tensor: absmax },
        { suffix: '.weight.quant_map', tensor: codebook },
        { suffix: '.weight.nested_absmax', tensor: nested },
        { suffix: '.weight.nested_quant_map', tensor: nestedCodebook },
        { suffix: stateSuffix, tensor: textTensor(weight, pythonJson(nestedState)) },
      ],
      read: values(back),
      grid,
      problems: [],
    } satisfies EncodedWeight;
  },
};

const stateSuffix = '.weight.quant_state.bitsandbytes__nf4';
const torchNames: Readonly<Record<string, string>> = { BF16: 'bfloat16', F16: 'float16', F32: 'float32' };

/** As json.dumps writes it: a blank behind every comma and colon. Numbers read the same wherever their digits end. */
const pythonJson = (state: Readonly<Record<string, string | number | readonly number[]>>): string =>
  `{${Object.entries(state)
    .map(([key, value]) => `"${key}": ${Array.isArray(value) ? `[${value.join(', ')}]` : JSON.stringify(value)}`)
    .join(', ')}}`;

function textTensor({ device }: Tensor, text: string): Tensor {
  const bytes = new TextEncoder().encode(text);
  return device.fromBytes('U8', [bytes.byteLength], bytes);
}

async function gridOf(magnitudes: Tensor): Promise<Float32Array> {
  const sorted = (await magnitudes.readFloats()).slice().sort();
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return nf4.map((value) => value * median);
}
