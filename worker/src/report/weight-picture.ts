// The arrays behind the pictures of one weight: counts after quantization, of the error and of slices of channels, and the magnitudes of channels. Of a
// large weight the counts are of rows that lie evenly, so that the pictures cost less than the quantization; channels are those of the whole weight.
import type { SliceCounts, WeightPicture } from '../../../schemas/src/generated/report.js';
import { compare, histogram, summary } from '../tensor/operations/metrics.js';
import { columnRangeAccumulate } from '../tensor/operations/observers.js';
import { weightScales } from '../tensor/operations/quantizers.js';
import { cast, narrow, reshape, stackRows } from '../tensor/operations/storage.js';
import { residualColumns } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';
import { magnitudesOf, magnitudeStrip, outlierChannels } from './outlier-channels.js';
import type { Sidecar } from './sidecar.js';

const n_bins = 128;
const n_sliceBins = 64;
const n_slices = 16;
/** Weights of a sample, and of what is cast at a time. */
const manyWeights = 1 << 22;
/** Pieces that a sample is made of: what stackRows takes. */
const n_pieces = 8;

interface Range {
  min: number;
  max: number;
}

/** `groupSize`: columns of a scale; 1 where groups do not divide the columns. `range`: of W. */
export async function weightPicture(W: Tensor, What: Tensor, range: Range, groupSize: number, sidecar: Sidecar): Promise<WeightPicture> {
  const [rows = 0, columns = 0] = W.shape;
  using before = sampleOf(W, rows, columns);
  using after = sampleOf(What, rows, columns);
  const sampled = before.shape[0] ?? 0;
  const afterRange = await rangeOf(after);
  const counted = (counts: Uint32Array, within: Range, shape?: number[]) => sidecar.counts(counts, within, shape);
  const afterCounts = counted(await countsOf(after, afterRange, n_bins), afterRange);
  const error = await errorCounts(before, after);
  const wide = { min: Math.min(range.min, afterRange.min), max: Math.max(range.max, afterRange.max) };
  const slices = async (
    n: number,
    channels: number,
    of: (tensor: Tensor, begin: number, length: number) => Tensor,
  ): Promise<SliceCounts> => {
    const of16 = async (tensor: Tensor): Promise<Uint32Array> => {
      const parts: Uint32Array[] = [];
      for (let begin = 0; begin < n; begin += channels) {
        using slice = of(tensor, begin, Math.min(channels, n - begin));
        parts.push(await countsOf(slice, wide, n_sliceBins));
      }
      const all = new Uint32Array(parts.length * n_sliceBins);
      parts.forEach((part, i) => all.set(part, i * n_sliceBins));
      return all;
    };
    const shape = [Math.ceil(n / channels), n_sliceBins];
    return { channels, before: counted(await of16(before), wide, shape), after: counted(await of16(after), wide, shape) };
  };
  using nothing = W.device.zeros(W.dtype, before.shape);
  const magnitudes = await magnitudesOfChannels(W, rows, columns);
  return {
    rows: sampled,
    after: afterCounts,
    error: counted(error.counts, error.range),
    column_slices: await slices(columns, groupSize * Math.ceil(columns / groupSize / n_slices), (tensor, begin, length) =>
      columnsOf(tensor, nothing, begin, length),
    ),
    row_slices: await slices(sampled, Math.ceil(sampled / n_slices), narrow),
    column_magnitudes: sidecar.floats(magnitudeStrip(magnitudes.column)),
    row_magnitudes: sidecar.floats(magnitudeStrip(magnitudes.row)),
    outliers: [...outlierChannels('column', magnitudes.column), ...outlierChannels('row', magnitudes.row)],
  };
}

function sampleOf(weight: Tensor, rows: number, columns: number): Tensor {
  if (rows * columns <= manyWeights || rows < n_pieces) return reshape(weight, weight.shape);
  const length = Math.max(1, Math.floor(manyWeights / n_pieces / columns));
  const pieces = Array.from({ length: n_pieces }, (_, i) => narrow(weight, Math.floor((i * (rows - length)) / (n_pieces - 1)), length));
  try {
    return stackRows(pieces);
  } finally {
    for (const piece of pieces) piece.dispose();
  }
}

/** The residual to nothing: the one operation that picks columns. */
function columnsOf(weight: Tensor, nothing: Tensor, begin: number, length: number): Tensor {
  using chosen = weight.device.fromInts(
    [length],
    Int32Array.from({ length }, (_, i) => begin + i),
  );
  return residualColumns(weight, nothing, chosen);
}

async function rangeOf(tensor: Tensor): Promise<Range> {
  using numbers = summary(tensor);
  const [, , , min = 0, max = 0] = await numbers.readDoubles();
  return max > min ? { min, max } : { min: min - 0.5, max: max + 0.5 };
}

/** What lies outside of the range is counted at its ends. */
async function countsOf(tensor: Tensor, range: Range, bins: number): Promise<Uint32Array> {
  using counts = histogram(tensor, { ...range, n_bins: bins });
  const bytes = await counts.read();
  const all = Array.from(new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8), Number);
  const [below = 0, above = 0] = all.slice(bins);
  const own = Uint32Array.from(all.slice(0, bins));
  own[0]! += below;
  own[bins - 1]! += above;
  return own;
}

async function errorCounts(before: Tensor, after: Tensor): Promise<{ counts: Uint32Array; range: Range }> {
  using sums = compare(before, after);
  const largest = (await sums.readDoubles())[4] ?? 0;
  const range = largest > 0 ? { min: -largest, max: largest } : { min: -0.5, max: 0.5 };
  const columns = before.shape[1] ?? 0;
  using all = before.device.fromInts(
    [columns],
    Int32Array.from({ length: columns }, (_, i) => i),
  );
  using error = residualColumns(before, after, all);
  return { counts: await countsOf(error, range, n_bins), range };
}

/** Of both kinds of channels. A symmetric scale of 2 bits is the largest magnitude over 1.5; in F32, as the scales of smaller types have a floor. */
async function magnitudesOfChannels(weight: Tensor, rows: number, columns: number): Promise<{ column: Float32Array; row: Float32Array }> {
  const begins = new Float32Array(2 * columns).fill(Infinity, 0, columns).fill(-Infinity, columns);
  using ranges = weight.device.fromFloats([2, columns], begins);
  const row = new Float32Array(rows);
  const args = { num_bits: 2, symmetric: true, strategy: 'channel', group_size: 0 } as const;
  const search = { observer: 'minmax', maxshrink: 0, patience: 0, grid: 1, norm: 2 } as const;
  const step = Math.max(1, Math.floor(manyWeights / columns));
  for (let begin = 0; begin < rows; begin += step) {
    using part = narrow(weight, begin, Math.min(step, rows - begin));
    using floats = cast(part, 'F32');
    columnRangeAccumulate(ranges, floats);
    const [scale, zeroPoint] = weightScales(floats, null, { ...args, ...search });
    zeroPoint.dispose();
    using own = scale;
    row.set(
      (await own.readFloats()).map((value) => value * 1.5),
      begin,
    );
  }
  return { column: magnitudesOf(await ranges.readFloats()), row };
}
