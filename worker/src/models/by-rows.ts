// What needs no other row of a sequence, computed for ranges of rows where memory is short. Ranges end where the tiles of products (256 rows) and the
// blocks of attention (64 queries) end, and the last one takes the rest, so that on the processor every row has the bits that it has among all.
import { storeRows } from '../tensor/operations/forward.js';
import { narrow } from '../tensor/operations/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import type { TokenBatch, WeightSource } from './model.js';

/** Rows of the smallest range. */
export const leastRows = 256;

/** `work` gets the same rows of every input, and the number of the first; it answers one row for each. */
export function byRows(
  { rowsAtATime = Infinity }: TokenBatch,
  { seesAllRows = false }: WeightSource,
  inputs: readonly Tensor[],
  work: (rows: readonly Tensor[], first: number) => Tensor,
): Tensor {
  const n_rows = inputs[0]?.shape[0] ?? 0;
  if (seesAllRows || n_rows < 2 * rowsAtATime) return work(inputs, 0);
  let whole: Tensor | null = null;
  for (let begin = 0, end = 0; end < n_rows; begin = end) {
    end = n_rows - begin < 2 * rowsAtATime ? n_rows : begin + rowsAtATime;
    const n = end - begin;
    const rows = inputs.map((input) => narrow(input, begin, n));
    using made = work(rows, begin);
    whole ??= made.device.zeros('F32', [n_rows, made.shape[1] ?? 0]);
    using places = made.device.fromInts(
      [n],
      Int32Array.from({ length: n }, (_, row) => begin + row),
    );
    storeRows(whole, made, places);
    for (const input of rows) input.dispose();
  }
  return whole!;
}
