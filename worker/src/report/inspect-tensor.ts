// Statistics and histogram of one tensor of a model folder, for looking at a layer without a run.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { TensorStatistics } from '../../../schemas/src/protocol/client-worker.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { loadPart, type PlacedTensor } from '../checkpoint/tensor-reader.js';
import { histogram, summary } from '../tensor/operations.js';
import type { Device, Tensor } from '../tensor/tensor.js';

const n_bins = 64;

/** The tensor that a name means: itself, or the weight of the module of that name. */
export function inspectedTensor(model: ModelDescription, name: string): string {
  const names = new Set(model.tensors.map((tensor) => tensor.name));
  for (const candidate of [name, `${name}.weight`]) if (names.has(candidate)) return candidate;
  throw runFailure.fileUnreadable(model.dir, `it has no tensor and no module named ${name}`);
}

/** Values of a tensor that are in memory at a time. */
const most = 2 ** 24;

/** A tensor whole, or as pieces of which each is gone when the next one comes. Read anew with every call. */
export interface Pieces {
  dtype: string;
  shape: readonly number[];
  load(): Iterable<Tensor>;
}

export const onePiece = (tensor: Tensor): Pieces => ({ dtype: tensor.dtype, shape: tensor.shape, load: () => [tensor] });

/** As it is stored, whatever its size. */
export function storedPieces(device: Device, placed: PlacedTensor, n_values = most): Pieces {
  const { dtype, shape } = placed.tensor;
  const total = shape.reduce((n, extent) => n * extent, 1);
  function* load(): Generator<Tensor> {
    for (let first = 0; first < total; first += n_values) {
      using part = loadPart(device, placed, first, Math.min(n_values, total - first));
      yield part;
    }
  }
  return { dtype, shape, load };
}

/** Two passes: the range, then the counts in it. */
export async function tensorStatistics(name: string, pieces: Pieces): Promise<TensorStatistics> {
  let [count, n_nan, n_inf, min, max, sum, squares, absmax] = [0, 0, 0, Infinity, -Infinity, 0, 0, 0];
  for (const piece of pieces.load()) {
    using numbers = summary(piece);
    const [n = 0, nans = 0, infinite = 0, least = 0, greatest = 0, added = 0, squared = 0, largest = 0] = await numbers.readDoubles();
    [count, n_nan, n_inf, sum, squares] = [count + n, n_nan + nans, n_inf + infinite, sum + added, squares + squared];
    if (n > nans + infinite) [min, max, absmax] = [Math.min(min, least), Math.max(max, greatest), Math.max(absmax, largest)];
  }
  const n_finite = count - n_nan - n_inf;
  const [lowest, highest] = n_finite > 0 ? [min, max] : [0, 0];
  const range = highest > lowest ? { min: lowest, max: highest } : { min: lowest - 0.5, max: lowest + 0.5 };
  const counts = new Array<number>(n_bins).fill(0);
  for (const piece of pieces.load()) {
    using counted = histogram(piece, { ...range, n_bins });
    const bytes = await counted.read();
    new BigInt64Array(bytes.buffer, bytes.byteOffset, n_bins).forEach((n, bin) => (counts[bin]! += Number(n)));
  }
  const mean = n_finite > 0 ? sum / n_finite : 0;
  const variance = n_finite > 0 ? Math.max(0, squares / n_finite - mean * mean) : 0;
  return {
    name,
    dtype: pieces.dtype,
    shape: [...pieces.shape],
    count,
    n_nan,
    n_inf,
    min: lowest,
    max: highest,
    mean,
    std: Math.sqrt(variance),
    absmax,
    histogram: { ...range, counts },
  };
}
