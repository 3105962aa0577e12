// Ranges of inputs from the histogram of all of them: a share of the values (percentile), the least squared error, the least loss of information (entropy).
// Pure arithmetic on a few thousand bins; the histogram is counted natively. None of them is llm-compressor's.

/** Bins of one width around zero: counts[i] values in [(i − n/2) · width, (i − n/2 + 1) · width). */
export interface Histogram {
  counts: Float64Array;
  width: number;
  min: number;
  max: number;
}

export interface IntegerGrid {
  num_bits: number;
  symmetric: boolean;
}

/**
 * The histogram of all values from those of parts of them, null when there are none: the counts of each are brought to the largest width, which is what one histogram of
 * all would have, and added. A part of width 0 has seen nothing but zeros, which stay in the bin that begins at zero.
 */
export function mergeHistograms(parts: readonly Histogram[]): Histogram | null {
  const n_bins = parts[0]?.counts.length;
  if (n_bins === undefined) return null;
  const width = Math.max(...parts.map((part) => part.width));
  const counts = new Float64Array(n_bins);
  for (const part of parts) {
    const bins = part.width === 0 ? 1 : width / part.width;
    for (const [i, count] of part.counts.entries()) {
      const at = Math.floor((i - n_bins / 2) / bins) + n_bins / 2;
      counts[at] = (counts[at] ?? 0) + count;
    }
  }
  return { counts, width, min: Math.min(...parts.map(({ min }) => min)), max: Math.max(...parts.map(({ max }) => max)) };
}

export const totalOf = ({ counts }: Histogram): number => counts.reduce((sum, count) => sum + count, 0);

/** `percentile` of all values lie inside: of their magnitudes, or half of the rest at either end. Values lie evenly in their bin. */
export function percentileRange(histogram: Histogram, percentile: number, symmetric: boolean): [number, number] {
  const { min, max, width } = histogram;
  const share = percentile / 100;
  if (symmetric) {
    const bound = Math.min(quantile(magnitudes(histogram), width, 0, share), Math.max(-min, max, 0));
    return [-bound, bound];
  }
  const first = (-histogram.counts.length / 2) * width;
  const [low, high] = [
    quantile(histogram.counts, width, first, (1 - share) / 2),
    quantile(histogram.counts, width, first, (1 + share) / 2),
  ];
  return [Math.max(low, min), Math.min(high, max)];
}

function quantile(counts: Float64Array, width: number, first: number, share: number): number {
  const wanted = share * counts.reduce((sum, count) => sum + count, 0);
  let below = 0;
  for (const [i, count] of counts.entries()) {
    if (count > 0 && below + count >= wanted) return first + (i + (wanted - below) / count) * width;
    below += count;
  }
  return first + counts.length * width;
}

/** Counts of |x|: bin i holds [i · width, (i + 1) · width), but for a value on a negative edge, which lies one bin farther out. */
function magnitudes({ counts }: Histogram): Float64Array {
  const half = counts.length / 2;
  return Float64Array.from({ length: half }, (_, i) => (counts[half + i] ?? 0) + (counts[half - 1 - i] ?? 0));
}

/** The extremes times p, p = 1, 0.99 … 0.01, that leave the least Σ (x̂ − x)², each bin taken at its middle. */
export function leastErrorRange(histogram: Histogram, grid: IntegerGrid): [number, number] {
  const { min, max } = histogram;
  let [best, least]: [[number, number], number] = [[min, max], Infinity];
  for (let step = 0; step < 100; step += 1) {
    const range: [number, number] = [min * (1 - step / 100), max * (1 - step / 100)];
    const error = squaredError(histogram, range, grid);
    if (error < least) [best, least] = [range, error];
  }
  return best;
}

export function squaredError(
  { counts, width, min, max }: Histogram,
  range: readonly [number, number],
  { num_bits, symmetric }: IntegerGrid,
): number {
  const [low, high] = [-(2 ** (num_bits - 1)), 2 ** (num_bits - 1) - 1];
  const [mn, mx] = [Math.min(range[0], 0), Math.max(range[1], 0)];
  const scale = symmetric ? Math.max(-mn, mx) / ((2 ** num_bits - 1) / 2) : (mx - mn) / (2 ** num_bits - 1);
  if (scale === 0) return min === 0 && max === 0 ? 0 : Infinity;
  const zero = symmetric ? 0 : Math.round(Math.min(Math.max(low - mn / scale, low), high));
  let error = 0;
  for (const [i, count] of counts.entries()) {
    if (count === 0) continue;
    const x = (i - counts.length / 2 + 0.5) * width;
    const code = Math.min(Math.max(Math.round(x / scale + zero), low), high);
    error += count * ((code - zero) * scale - x) ** 2;
  }
  return error;
}

/**
 * The magnitude at which to cut so that the distribution loses the least information: P is what lies below it, with what is cut off counted in its last bin; Q the same
 * bins merged into the levels of the grid and spread again over those that are not empty; the cut with the least KL(P ‖ Q). As TensorRT describes it (Migacz, "8-bit
 * Inference with TensorRT", 2017): at most 2048 bins, the first cut behind as many bins as there are levels.
 */
export function entropyRange(histogram: Histogram, num_bits: number): [number, number] {
  const levels = 2 ** (num_bits - 1);
  const largest = Math.max(-histogram.min, histogram.max, 0);
  let [counts, width] = [magnitudes(histogram), histogram.width];
  while (Math.ceil(largest / width) > 2048) {
    counts = Float64Array.from({ length: counts.length / 2 }, (_, i) => (counts[2 * i] ?? 0) + (counts[2 * i + 1] ?? 0));
    width *= 2;
  }
  const used = Math.min(counts.length, Math.floor(largest / width) + 1);
  let [best, least] = [largest, Infinity];
  for (let n = Math.min(levels, used); n <= used; n += 1) {
    const divergence = lostInformation(counts.subarray(0, used), n, levels);
    if (divergence < least) [best, least] = [Math.min((n + 0.5) * width, largest), divergence];
  }
  return [-best, best];
}

function lostInformation(counts: Float64Array, n: number, levels: number): number {
  const cut = counts.subarray(n).reduce((sum, count) => sum + count, 0);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const kept = total - cut;
  if (kept === 0) return Infinity;
  let divergence = 0;
  for (let level = 0; level < Math.min(levels, n); level += 1) {
    const [begin, end] = [Math.floor((level * n) / Math.min(levels, n)), Math.floor(((level + 1) * n) / Math.min(levels, n))];
    let [sum, filled] = [0, 0];
    for (let i = begin; i < end; i += 1) {
      sum += counts[i] ?? 0;
      if ((counts[i] ?? 0) > 0 || (i === n - 1 && cut > 0)) filled += 1;
    }
    for (let i = begin; i < end; i += 1) {
      const p = ((counts[i] ?? 0) + (i === n - 1 ? cut : 0)) / total;
      if (p === 0) continue;
      // Nothing that Q has where P has something: no finite loss.
      if (sum === 0) return Infinity;
      divergence += p * Math.log((p * kept * filled) / sum);
    }
  }
  return divergence;
}
