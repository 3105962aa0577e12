// How far the heap may grow before garbage is collected. V8 lets a heap of 50 MB grow to four times that and its space for new objects to 16 MB, twice. That makes
// typing and the start fast; for the index of a very large model it is memory that the editor's machine misses.
import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ModelFiles } from '../../../schemas/src/model/model-files.js';

/** Characters of an index, or bytes of a header, from which they are large: the index of DeepSeek-V3 has 9 million, that of 10,000 layers one. */
const large = 4e6;

/**
 * Files that look at what is read. Once it is large, the heap grows by a fifth beyond what is alive, and the space for new objects not at all: while the headers
 * of such a model are read nearly all is garbage soon, and what they say stays in memory. What growth is allowed V8 decides at a collection, so there is one then.
 */
export function sparingFiles(files: ModelFiles): ModelFiles {
  let isSpared = false;
  const spareIf = (isLarge: boolean): void => {
    if (!isLarge || isSpared) return;
    isSpared = true;
    for (const flag of ['--heap-growing-percent=20', '--semi-space-growth-factor=1', '--expose-gc']) v8.setFlagsFromString(flag);
    const collect = runInNewContext('gc') as () => void;
    collect();
  };
  return {
    ...files,
    readText: async (file) => {
      const text = await files.readText(file);
      spareIf(text.length > large);
      return text;
    },
    readRange: (file, offset, length) => {
      spareIf(length > large);
      return files.readRange(file, offset, length);
    },
  };
}
