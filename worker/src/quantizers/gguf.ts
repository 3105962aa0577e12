// The blocks of llama.cpp's types: legacy ones of 32 weights under one scale, and k-quants, super-blocks of 256 whose 8 or 16 scales are integers themselves.
// They come from llama.cpp and have no paper. The search for scales and codes is native and our own (formats/k-quants.cc has its steps); with importance the squared error
// of a column weighs as much as its mean squared input: the diagonal of the Hessian, or what llama-imatrix has written of it. Cost: about 60 · O · I roundings.
//
//   weight    U8 [O, bytes of a row], as the file will hold them, rows in the order of the checkpoint
import type { GgufPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { floatsOf, sumOfValues } from '../../../schemas/src/model/imatrix.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { ggufDecode, ggufEncode, type GgufType } from '../tensor/operations/formats.js';
import type { Tensor } from '../tensor/tensor.js';
import type { EncodedWeight, Encoder } from './encoder.js';
import { layerProblem } from './layer-problem.js';
import type { QuantizerInput, SharedHessian } from './quantizer.js';

export const gguf: Encoder<GgufPlan> = {
  encode: async (input) => {
    const { layer, plan, weight } = input;
    const type = layer.scheme?.weights?.gguf_type;
    if (type === undefined || type === 'F32' || type === 'F16' || type === 'BF16')
      throw runFailure.planInvalid(`${layer.name} has no blocks of GGUF for its weights`);
    const missing = layer.kind === 'Embedding' ? null : await missingImportance(input);
    using imported = await importedImportance(input);
    const importance = plan.importance && missing === null && input.hessian ? await calibratedSums(input.hessian) : null;
    using own = importance && meansOf(weight, importance.sums, importance.tokens);
    const blocks = ggufEncode(weight, imported ?? own, type satisfies GgufType);
    try {
      const problems = missing === null ? [] : [unweighed(input, missing)];
      return {
        parts: [{ suffix: '.weight', tensor: blocks }],
        read: ggufDecode(blocks, type),
        grid: null,
        importance,
        problems,
      } satisfies EncodedWeight;
    } catch (error) {
      blocks.dispose();
      throw error;
    }
  },
};

/** Why every column weighs the same although importance is asked for; null where it is known. An embedding has no inputs. */
async function missingImportance({ hessian, plan }: QuantizerInput<GgufPlan>): Promise<string | null> {
  if (plan.imatrix !== null) return plan.imatrix.entry === null ? `${plan.imatrix.file} has nothing for it` : null;
  if (!plan.importance) return null;
  if (hessian === null) return 'no calibration row reached it';
  return (await hessian.dead.read()).every((flag) => flag === 1) ? 'all of its calibration inputs are zero' : null;
}

/** As llama-imatrix sums them: H is 2/n Σ xᵀx of n rows. What a file of them gives back is what this run takes, bit by bit. */
async function calibratedSums(hessian: SharedHessian): Promise<NonNullable<EncodedWeight['importance']>> {
  const diagonal = await hessian.diagonal().readFloats();
  const { seen } = hessian;
  return { sums: diagonal.map((value) => (value * seen.rows) / 2), ...seen };
}

/** Mean squared inputs as llama-quantize takes them: sums over their count, in float32. */
const meansOf = ({ device }: Tensor, sums: Float32Array, count: number): Tensor =>
  device.fromFloats(
    [sums.length],
    sums.map((sum) => sum / count),
  );

/** What a file says of the layer. */
async function importedImportance({ layer, plan, weight }: QuantizerInput<GgufPlan>): Promise<Tensor | null> {
  const { file, entry } = plan.imatrix ?? {};
  if (file === undefined || !entry) return null;
  const bytes = await nodeFiles.readRange(file, entry.offset, 4 * layer.columns).catch((error: unknown) => {
    throw runFailure.fileUnreadable(file, String(error));
  });
  const sums = bytes.length === 4 * layer.columns ? floatsOf(bytes) : null;
  if (sums === null || sumOfValues(sums) !== entry.sum)
    throw runFailure.modelFileChanged(file, `what it says of ${layer.name} has changed`);
  return meansOf(weight, sums, entry.count);
}

const unweighed = ({ layer, plan }: QuantizerInput<GgufPlan>, missing: string): RunProblem =>
  layerProblem(
    layer,
    'imatrix-without-importance',
    plan.imatrix !== null && layer.block === null ? 'information' : 'warning',
    plan.imatrix !== null
      ? `All columns of ${layer.name} weigh alike although imatrix is given: ${missing}.`
      : `All columns of ${layer.name} weigh alike although importance is true: ${missing}. Give rows that reach it, or remove importance.`,
  );
