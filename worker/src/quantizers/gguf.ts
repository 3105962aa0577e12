// The blocks of llama.cpp's types: legacy ones of 32 weights under one scale, and k-quants, super-blocks of 256 whose 8 or 16 scales are integers themselves.
// They come from llama.cpp and have no paper. The search for scales and codes is native and our own (formats/k-quants.cc has its steps); with importance the squared error
// of a column weighs as much as its mean squared input, the diagonal of the Hessian, which llama.cpp calls imatrix. Cost: about 60 · O · I roundings.
//
//   weight    U8 [O, bytes of a row], as the file will hold them, rows in the order of the checkpoint
import type { GgufPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { ggufDecode, ggufEncode, type GgufType } from '../tensor/operations/formats.js';
import type { EncodedWeight, Encoder } from './encoder.js';
import type { QuantizerInput } from './quantizer.js';

export const gguf: Encoder<GgufPlan> = {
  encode: async (input) => {
    const { layer, plan, weight } = input;
    const type = layer.scheme?.weights?.gguf_type;
    if (type === undefined || type === 'F32' || type === 'F16' || type === 'BF16')
      throw runFailure.planInvalid(`${layer.name} has no blocks of GGUF for its weights`);
    const missing = plan.importance && layer.kind !== 'Embedding' ? await missingImportance(input) : null;
    const importance = plan.importance && missing === null ? (input.hessian?.diagonal() ?? null) : null;
    const blocks = ggufEncode(weight, importance, type satisfies GgufType);
    try {
      const problems = missing === null ? [] : [unweighed(input, missing)];
      return {
        parts: [{ suffix: '.weight', tensor: blocks }],
        read: ggufDecode(blocks, type),
        grid: null,
        problems,
      } satisfies EncodedWeight;
    } catch (error) {
      blocks.dispose();
      throw error;
    }
  },
};

/** Why every column weighs the same although importance is asked for; null where it is known. An embedding has no inputs. */
async function missingImportance({ hessian }: QuantizerInput): Promise<string | null> {
  if (hessian === null) return 'no calibration row reached it';
  return (await hessian.dead.read()).every((flag) => flag === 1) ? 'all of its calibration inputs are zero' : null;
}

const unweighed = ({ layer }: QuantizerInput, missing: string): RunProblem => ({
  code: 'imatrix-without-importance',
  severity: 'warning',
  message: `All columns of ${layer.name} weigh alike although importance is true: ${missing}. Give rows that reach it, or remove importance.`,
  layer: layer.name,
  recipe_path: layer.quantizer?.recipe_path ?? null,
});
