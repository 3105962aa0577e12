// Channels that stand out: their largest magnitude against the median of all, and the strip that shows them.
import type { OutlierChannel } from '../../../schemas/src/generated/report.js';

/** Times the median: the largest magnitudes of channels that are alike differ by tenths. */
const standsOut = 3;
const mostOutliers = 8;
const stripLength = 512;

/** Farthest first. Where the median is zero nothing is told: most channels are empty. */
export function outlierChannels(axis: OutlierChannel['axis'], magnitudes: Float32Array): OutlierChannel[] {
  const sorted = Float32Array.from(magnitudes).sort();
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  if (!(median > 0)) return [];
  return [...magnitudes.keys()]
    .filter((index) => magnitudes[index]! >= standsOut * median)
    .sort((a, b) => magnitudes[b]! - magnitudes[a]! || a - b)
    .slice(0, mostOutliers)
    .map((index) => ({ axis, index, magnitude: magnitudes[index]!, times_median: magnitudes[index]! / median }));
}

/** The largest magnitude of each column, from minima and then maxima. */
export const magnitudesOf = (ranges: Float32Array): Float32Array =>
  Float32Array.from({ length: ranges.length / 2 }, (_, i) => Math.max(-ranges[i]!, ranges[ranges.length / 2 + i]!));

/** One value for each channel, or where there are many the largest of neighbours. */
export function magnitudeStrip(magnitudes: Float32Array): Float32Array {
  if (magnitudes.length <= stripLength) return magnitudes;
  const width = Math.ceil(magnitudes.length / stripLength);
  return Float32Array.from({ length: Math.ceil(magnitudes.length / width) }, (_, i) =>
    magnitudes.subarray(i * width, (i + 1) * width).reduce((most, value) => Math.max(most, value), 0),
  );
}
