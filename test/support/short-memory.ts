// Plans over rows of tokens of our own, and the same with so little memory that a run or an analysis has to give something up.
import path from 'node:path';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import { processBytes } from '../../schemas/src/process-bytes.js';
import { writeDataset } from './dataset-file.js';
import { writeTinyLlama } from './tiny-llama-folder.js';
import { resolvePlan } from './worker-run.js';

/** What the emulated device has for cuBLAS. */
export const workspaceBytes = 32 << 20;

export interface RowsOfTokens {
  rows: number;
  /** Tokens of each. */
  length: number;
  /** Of the recipe, in one line. */
  modifiers: string;
  /** Of the model. */
  sizes?: Parameters<typeof writeTinyLlama>[2];
  /** Fields of evaluate beside its dataset, which is that of the calibration; left out, nothing is evaluated. */
  evaluate?: Readonly<Record<string, number>>;
}

export async function planOverRows(dir: string, { rows, length, modifiers, sizes, evaluate }: RowsOfTokens): Promise<QuantizationPlan> {
  const model = path.join(dir, 'model');
  writeTinyLlama(model, 'random', sizes);
  const dataset = path.join(dir, 'rows.jsonl');
  const idsOf = (row: number): number[] => Array.from({ length }, (_, i) => (row * 31 + i * i * 7 + i) % 96);
  writeDataset(
    dataset,
    Array.from({ length: rows }, (_, row) => ({ input_ids: idsOf(row) })),
  );
  return resolvePlan({
    recipe: `quant_stage: {quant_modifiers: {${modifiers}}}`,
    model,
    output: path.join(dir, 'out'),
    calibration: { dataset, num_calibration_samples: rows, max_seq_length: length },
    ...(evaluate && { evaluate: { dataset, ...evaluate } }),
  });
}

/** The plan in another folder, with so many bytes for tensors and what operations take beside them (Infinity: all that there are); its estimate is not asked. */
export const limited = (plan: QuantizationPlan, bytes: number): QuantizationPlan => ({
  ...plan,
  output: { ...plan.output, dir: `${plan.output.dir}-${bytes}` },
  max_memory_bytes: bytes === Infinity ? null : processBytes + bytes,
  max_device_memory_bytes: bytes === Infinity ? null : workspaceBytes + bytes,
  estimate: { ...plan.estimate, peak_memory_bytes: 0, cuda: { ...plan.estimate.cuda, peak_memory_bytes: 0 }, analysis: [] },
});
