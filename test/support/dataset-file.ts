// A dataset file of a test and its plan.
import { statSync, writeFileSync } from 'node:fs';
import type { DatasetPlan } from '../../schemas/src/generated/plan.js';

/** The plan of a file that is there. */
export const planOfDataset = (file: string, changes: Partial<DatasetPlan> = {}): DatasetPlan => ({
  dataset: file,
  text_column: 'text',
  num_calibration_samples: null,
  max_seq_length: null,
  shuffle: false,
  seed: 0,
  sha256: null,
  bytes: statSync(file).size,
  ...changes,
});

/** Writes rows as .jsonl. */
export function writeDataset(file: string, rows: readonly object[], changes: Partial<DatasetPlan> = {}): DatasetPlan {
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return planOfDataset(file, changes);
}
