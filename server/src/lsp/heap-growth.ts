// How far the heap may grow before garbage is collected. V8 lets a heap of 50 MB grow to four times that and its space for new objects to 16 MB, twice. That makes
// typing fast; for the index of a very large model it is memory that the editor's machine misses.
import v8 from 'node:v8';

/** An index of so many tensors stays in memory: 163 shards of DeepSeek-V3 have 90,000. */
const manyTensors = 30_000;

/** While a model's headers are read: most of what is allocated is garbage soon. Beyond what is alive the heap grows by a fifth. */
export function spareHeap(): void {
  v8.setFlagsFromString('--heap-growing-percent=20');
  v8.setFlagsFromString('--semi-space-growth-factor=1');
}

/** Once they are read, back to V8's defaults (by its own speed; twice as large) where the index is small. */
export function setHeapGrowth(n_tensors: number): void {
  if (n_tensors >= manyTensors) return;
  v8.setFlagsFromString('--heap-growing-percent=0');
  v8.setFlagsFromString('--semi-space-growth-factor=2');
}
