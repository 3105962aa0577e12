// Descriptions of model folders, kept until a file of the folder changes: typing must not read the headers of a large model again.
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { describeModel, type DescribeModelAnswer } from '../../../schemas/src/model/describe-model.js';
import { sparingFiles } from './heap-growth.js';
import type { ModelFiles } from '../../../schemas/src/model/model-files.js';

export interface ModelCache {
  describe(dir: string): Promise<DescribeModelAnswer>;
  /** The next question looks at the folders again. */
  lookAgain(): void;
}

const KEPT_MODELS = 8;
/** Asking for the times of 163 shards takes milliseconds, which would be felt at every key press: a folder is looked at once in so many. */
const LOOKED_AT_MILLISECONDS = 1000;

interface Kept {
  fingerprint: string;
  lookedAt: number;
  answer: Promise<DescribeModelAnswer>;
}

export function createModelCache(files: ModelFiles): ModelCache {
  const kept = new Map<string, Kept>();
  return {
    describe: async (dir) => {
      const recent = kept.get(dir);
      if (recent !== undefined && performance.now() - recent.lookedAt < LOOKED_AT_MILLISECONDS) return recent.answer;
      const fingerprint = await fingerprintOf(dir);
      const known = kept.get(dir);
      kept.delete(dir);
      const answer = known?.fingerprint === fingerprint ? known.answer : describeModel(dir, sparingFiles(files));
      const entry = { fingerprint, lookedAt: performance.now(), answer };
      kept.set(dir, entry);
      for (const oldest of kept.keys()) if (kept.size > KEPT_MODELS) kept.delete(oldest);
      return entry.answer;
    },
    lookAgain: () => {
      for (const entry of kept.values()) entry.lookedAt = -Infinity;
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
