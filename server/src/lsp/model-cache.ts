// Descriptions of model folders, kept until a file of the folder changes: typing must not read the headers of a large model again.
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { describeModel, type DescribeModelAnswer } from '../../../schemas/src/model/describe-model.js';
import type { ModelFiles } from '../../../schemas/src/model/model-files.js';

export interface ModelCache {
  describe(dir: string): Promise<DescribeModelAnswer>;
}

const KEPT_MODELS = 8;

export function createModelCache(files: ModelFiles): ModelCache {
  const kept = new Map<string, { fingerprint: string; answer: Promise<DescribeModelAnswer> }>();
  return {
    describe: async (dir) => {
      const fingerprint = await fingerprintOf(dir);
      const known = kept.get(dir);
      kept.delete(dir);
      const entry = known?.fingerprint === fingerprint ? known : { fingerprint, answer: describeModel(dir, files) };
      kept.set(dir, entry);
      for (const oldest of kept.keys()) if (kept.size > KEPT_MODELS) kept.delete(oldest);
      return entry.answer;
    },
  };
}

/** Names, sizes and times of the files that a description is made of; '' where the folder cannot be read. */
async function fingerprintOf(dir: string): Promise<string> {
  const names = await readdir(dir).catch(() => []);
  const facts = names.sort().map(async (name) => {
    const found = await stat(path.join(dir, name)).catch(() => null);
    return found === null ? name : `${name} ${found.size} ${found.mtimeMs}`;
  });
  return (await Promise.all(facts)).join('\n');
}
