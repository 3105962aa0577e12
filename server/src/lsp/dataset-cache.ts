// Heads of dataset files, kept until the file changes: typing must not read and parse them again.
import { stat } from 'node:fs/promises';
import { readDatasetHead, type DatasetHead } from '../../../schemas/src/dataset/dataset-head.js';
import type { ModelFiles } from '../../../schemas/src/model/model-files.js';

export type ReadHead = (file: string) => Promise<DatasetHead | null>;

const KEPT_HEADS = 8;

export function createDatasetCache(files: ModelFiles): ReadHead {
  const kept = new Map<string, { fingerprint: string; head: Promise<DatasetHead | null> }>();
  return async (file) => {
    const found = await stat(file).catch(() => null); // gone since it was found: the read says so
    const fingerprint = found === null ? '' : `${found.size} ${found.mtimeMs}`;
    const known = kept.get(file);
    kept.delete(file);
    const entry = known?.fingerprint === fingerprint ? known : { fingerprint, head: readDatasetHead(file, files.readRange) };
    kept.set(file, entry);
    for (const oldest of kept.keys()) if (kept.size > KEPT_HEADS) kept.delete(oldest);
    return entry.head;
  };
}
