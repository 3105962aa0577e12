// An importance matrix as llama-imatrix writes it in GGUF, for llama-quantize and for `imatrix` of GGUFModifier: for each tensor NAME.in_sum2, the sums of its
// squared inputs, and NAME.counts, the tokens that they are over. Source: ggml-org/llama.cpp, tools/imatrix/imatrix.cpp and common/imatrix-loader.cpp.
import path from 'node:path';
import { writeGguf, type GgufTensorToWrite } from './gguf-writer.js';

/** In the folder of a run or of an analysis. */
export const imatrixFile = (dir: string): string => path.join(dir, 'imatrix.gguf');

export interface ColumnSums {
  /** In GGUF, such as blk.0.attn_q.weight. */
  name: string;
  sums: Float32Array;
  rows: number;
  tokens: number;
}

/** `dataset`: file of the rows. What llama-imatrix calls chunks are the rows, of their mean length. */
export async function writeImatrix(file: string, dataset: string, all: readonly ColumnSums[]): Promise<void> {
  const { rows = 0, tokens = 0 } = all[0] ?? {};
  const tensors = [...all]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(({ name, sums, tokens: count }) => [floats(`${name}.in_sum2`, sums), floats(`${name}.counts`, Float32Array.of(count))]);
  await writeGguf(
    file,
    [
      { key: 'general.type', type: 'string', value: 'imatrix' },
      { key: 'imatrix.datasets', type: 'array', of: 'string', values: [path.basename(dataset)] },
      { key: 'imatrix.chunk_count', type: 'uint32', value: rows },
      { key: 'imatrix.chunk_size', type: 'uint32', value: Math.round(tokens / Math.max(1, rows)) },
    ],
    tensors,
    'the importance matrix',
    () => undefined,
  );
}

function floats(name: string, values: Float32Array): GgufTensorToWrite {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return {
    name,
    type: 'F32',
    shape: [1, values.length],
    bytes: bytes.byteLength,
    read: async function* () {
      yield bytes;
    },
  };
}
