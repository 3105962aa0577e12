// How far the heap may grow before garbage is collected. V8 lets a heap of 50 MB grow to four times that and its space for new objects to 16 MB, twice. That makes
// typing and the start fast; for the index of a very large model it is memory that the editor's machine misses.
import v8 from 'node:v8';
import type { ModelFiles } from '../../../schemas/src/model/model-files.js';

/** Bytes of headers from which an index is large: 163 shards of DeepSeek-V3 have 13 MB, a model of 10,000 layers has one. */
const largeHeaders = 4e6;

/**
 * Files that count what is read of them. Once it is much, the heap grows by a fifth beyond what is alive, and the space for new objects not at all: while such
 * an index is read nearly all is garbage soon, and afterwards it stays in memory.
 */
export function sparingFiles(files: ModelFiles): ModelFiles {
  let bytes = 0;
  return {
    ...files,
    readRange: (file, offset, length) => {
      bytes += length;
      if (bytes > largeHeaders) {
        v8.setFlagsFromString('--heap-growing-percent=20');
        v8.setFlagsFromString('--semi-space-growth-factor=1');
      }
      return files.readRange(file, offset, length);
    },
  };
}
