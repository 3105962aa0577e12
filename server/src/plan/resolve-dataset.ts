// A dataset that a recipe names, with its defaults, and its first rows as a run would read them.
import path from 'node:path';
import { readRows } from '../../../schemas/src/dataset/dataset-head.js';
import type { DatasetHead, HeadReading } from '../../../schemas/src/dataset/dataset-head.js';
import type { DatasetPlan } from '../../../schemas/src/generated/plan.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { booleanOf, coerceTo, integerOf, mappingOf, textOf } from '../recipe/coerce.js';
import { absolutePath, readHeadOf, type ResolveContext } from './resolve-context.js';

export interface ResolvedDataset {
  path: RecipePath;
  plan: DatasetPlan;
  /** null: not known, as the recipe is not saved and the path is relative. */
  exists: boolean | null;
  /** The names in it, where it is a folder; a dataset is a file. */
  folder: readonly string[] | null;
  /** Its first rows, and those of them that are used, as a run would read them; null while there is no such file, or none that is read. */
  head: { file: DatasetHead; reading: HeadReading } | null;
}

export async function resolveDataset(
  at: RecipePath,
  value: unknown,
  countKey: string,
  defaultCount: number | null,
  context: ResolveContext,
  override: string | undefined,
): Promise<ResolvedDataset | null> {
  const fields = mappingOf(value);
  const named = override ?? coerceTo('string', fields['dataset']);
  if (typeof named !== 'string') return null;
  const file = override === undefined ? absolutePath(context, named) : path.resolve(named);
  const bytes = file === null ? null : await context.files.size(file);
  const count = fields[countKey];
  const plan: DatasetPlan = {
    dataset: file ?? named,
    text_column: textOf(fields['text_column'], 'text'),
    num_calibration_samples: count === undefined ? defaultCount : ((coerceTo('integer', count) as number | undefined) ?? null),
    max_seq_length: (coerceTo('integer', fields['max_seq_length']) as number | undefined) ?? null,
    shuffle: booleanOf(fields['shuffle_calibration_samples'], false),
    seed: integerOf(fields['seed'], 42),
    sha256: null,
    bytes: bytes ?? 0,
  };
  const head = file === null || bytes === null ? null : await readHeadOf(context, file);
  return {
    path: [...at, 'dataset'],
    exists: file === null ? null : bytes !== null,
    folder: file === null || bytes !== null ? null : await context.files.list(file),
    plan,
    head: head && { file: head, reading: readRows(head, plan.text_column, usedRows(plan)) },
  };
}

/** A shuffle reads all rows before it chooses. */
const usedRows = ({ num_calibration_samples, shuffle }: DatasetPlan): number =>
  shuffle ? Infinity : Math.max(1, num_calibration_samples ?? Infinity);
