// LLM.int8's outliers: columns of a weight whose inputs exceed a threshold are computed in the type of the model.
// Dettmers et al., arXiv 2208.07339, section 3.2; as an adapter, so that runtimes need nothing new.
//
//   O    columns c with max |x_c| > threshold over the calibration tokens, at most max_columns of them, the largest first
//   A    unit rows e_c, c ∈ O         B   columns (W − Ŵ)_c         y = Ŵ x̃ + B (A x)
//
// Differs from the paper: the columns are chosen once, from calibration, and not for every batch; they stay in the quantized product too, so that the checkpoint is whole
// without its adapter, and the adapter has what quantization took from them. Inputs that are quantized are still scaled with their outliers among them: that a runtime
// would have to change.
// Cost of a linear: N n to see, m · max_columns to keep.
import { residualColumns } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';
import type { ThinProduct } from './low-rank-residual.js';

export interface Outliers extends ThinProduct {
  columns: number[];
  /** Above the threshold, with those that found no room. */
  n_found: number;
}

/** `largest`: magnitude of every input channel. */
export async function outliersOf(
  W: Tensor,
  What: Tensor,
  largest: ArrayLike<number>,
  { threshold, max_columns }: { threshold: number; max_columns: number },
): Promise<Outliers> {
  const [rows = 0, n = 0] = W.shape;
  const order = Array.from({ length: n }, (_, column) => column).sort((a, b) => largest[b]! - largest[a]! || a - b);
  const found = order.filter((column) => largest[column]! > threshold);
  const columns = found.slice(0, max_columns);
  const [B, A] = [new Float32Array(rows * max_columns), new Float32Array(max_columns * n)];
  columns.forEach((column, place) => (A[place * n + column] = 1));
  if (columns.length > 0) {
    using chosen = W.device.fromInts([columns.length], Int32Array.from(columns));
    using residual = residualColumns(W, What, chosen);
    const values = await residual.readFloats();
    for (let row = 0; row < rows; row += 1)
      for (let place = 0; place < columns.length; place += 1) B[row * max_columns + place] = values[row * columns.length + place]!;
  }
  return { columns, n_found: found.length, B, A };
}
