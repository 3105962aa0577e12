// Statistics and histogram of one tensor of a model folder, for looking at a layer without a run.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { TensorChannel, TensorStatistics } from '../../../schemas/src/protocol/client-worker.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { loadPart, type PlacedTensor } from '../checkpoint/tensor-reader.js';
import { histogram, summary } from '../tensor/operations/metrics.js';
import { cast, narrow } from '../tensor/operations/storage.js';
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
  load(): Iterable<Tensor> | AsyncIterable<Tensor>;
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

/** A matrix of which some rows at a time are in memory. */
export interface Matrix {
  name: string;
  dtype: string;
  shape: readonly [rows: number, columns: number];
  rowsFrom(first: number, count: number): Tensor;
}

export function storedMatrix(device: Device, placed: PlacedTensor): Matrix {
  const { name, dtype, shape } = placed.tensor;
  const [rows, columns] = matrixShape(name, shape);
  return { name, dtype, shape: [rows, columns], rowsFrom: (first, count) => loadPart(device, placed, first * columns, count * columns) };
}

export function wholeMatrix(name: string, tensor: Tensor): Matrix {
  return { name, dtype: tensor.dtype, shape: matrixShape(name, tensor.shape), rowsFrom: (first, count) => narrow(tensor, first, count) };
}

function matrixShape(name: string, shape: readonly number[]): [number, number] {
  const [rows, columns] = shape;
  if (rows === undefined || columns === undefined || shape.length !== 2)
    throw runFailure.channelMissing(name, `its shape is [${shape.join(', ')}], and only a matrix has rows and columns`);
  return [rows, columns];
}

/** Values of a matrix that are read at a time for one of its columns. */
const mostForColumn = 2 ** 22;

/** One channel: a row is read alone, of a column the rows pass by. */
export function channelPieces({ name, dtype, shape, rowsFrom }: Matrix, { axis, index }: TensorChannel, n_values = mostForColumn): Pieces {
  const [rows, columns] = shape;
  const n = axis === 'row' ? rows : columns;
  if (!Number.isInteger(index) || index < 0 || index >= n)
    throw runFailure.channelMissing(name, `its ${axis}s go from 0 to ${n - 1}, and ${index} was asked for`);
  async function* load(): AsyncGenerator<Tensor> {
    if (axis === 'row') {
      using row = rowsFrom(index, 1);
      yield row;
      return;
    }
    const n_rows = Math.max(1, Math.floor(n_values / columns));
    for (let first = 0; first < rows; first += n_rows) {
      const count = Math.min(n_rows, rows - first);
      using part = rowsFrom(first, count);
      const bytes = await part.read();
      const size = bytes.length / (count * columns);
      const own = new Uint8Array(count * size);
      for (let row = 0; row < count; row += 1) {
        const begin = (row * columns + index) * size;
        own.set(bytes.subarray(begin, begin + size), row * size);
      }
      using column = part.device.fromBytes(part.dtype, [count], own);
      yield column;
    }
  }
  return { dtype, shape: [axis === 'row' ? columns : rows], load };
}

/** The values that there are, ascending: of a quantized channel its grid, as far as it is used. */
export async function levelsOf(pieces: Pieces): Promise<number[]> {
  const found = new Set<number>();
  for await (const piece of pieces.load()) {
    using floats = cast(piece, 'F32');
    for (const value of await floats.readFloats()) found.add(value);
  }
  return [...found].sort((a, b) => a - b);
}

/** Two passes: the range, then the counts in it. */
export async function tensorStatistics(name: string, pieces: Pieces): Promise<TensorStatistics> {
  let [count, n_nan, n_inf, min, max, sum, squares, absmax] = [0, 0, 0, Infinity, -Infinity, 0, 0, 0];
  for await (const piece of pieces.load()) {
    using numbers = summary(piece);
    const [n = 0, nans = 0, infinite = 0, least = 0, greatest = 0, added = 0, squared = 0, largest = 0] = await numbers.readDoubles();
    [count, n_nan, n_inf, sum, squares] = [count + n, n_nan + nans, n_inf + infinite, sum + added, squares + squared];
    if (n > nans + infinite) [min, max, absmax] = [Math.min(min, least), Math.max(max, greatest), Math.max(absmax, largest)];
  }
  const n_finite = count - n_nan - n_inf;
  const [lowest, highest] = n_finite > 0 ? [min, max] : [0, 0];
  const range = highest > lowest ? { min: lowest, max: highest } : { min: lowest - 0.5, max: lowest + 0.5 };
  const counts = new Array<number>(n_bins).fill(0);
  for await (const piece of pieces.load()) {
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
