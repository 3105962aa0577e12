// File access of the header readers on bytes in memory, told how long the file claims to be.
import type { ModelFiles } from '../../schemas/src/model/model-files.js';

export const inMemory = (bytes: Uint8Array, size = bytes.length): ModelFiles => ({
  list: () => Promise.resolve([]),
  size: (file) => Promise.resolve(file === 'x' ? size : null),
  kindOf: () => Promise.resolve('file'),
  readRange: (_, offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  readText: () => Promise.reject(new Error('A header reader reads no whole file.')),
});
