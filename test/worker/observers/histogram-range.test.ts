// Ranges from histograms: percentile against sorted values, least error against a search over the values themselves, entropy on shapes whose answer is known.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { histogramFinding, HistogramObserver, histogramRange } from '../../../worker/src/observers/histogram.js';
import {
  entropyRange,
  leastErrorRange,
  percentileRange,
  squaredError,
  type Histogram,
} from '../../../worker/src/observers/histogram-range.js';
import { withDevice } from '../../support/native-device.js';
import { seededRandom } from '../../support/random.js';

const n_half = 4096;

/** As the native operation counts. */
function histogramOf(values: readonly number[]): Histogram {
  const largest = Math.max(...values.map(Math.abs));
  const width = 2 ** (Math.floor(Math.log2(largest)) + 1) / n_half;
  const counts = new Float64Array(2 * n_half);
  for (const value of values) counts[Math.floor(value / width) + n_half]! += 1;
  return { counts, width, min: Math.min(...values), max: Math.max(...values) };
}

const random = seededRandom(7);
const normal = (): number => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
const bell = Array.from({ length: 40000 }, normal);
/** One value in a thousand lies far out. */
const withOutliers = bell.map((value, i) => (i % 1000 === 0 ? value * 40 : value));

test('percentile: the quantile of the magnitudes, or one at either end, to the width of a bin', () => {
  for (const percentile of [50, 90, 99.9]) {
    const histogram = histogramOf(bell);
    const sorted = bell.map(Math.abs).sort((a, b) => a - b);
    const [low, high] = percentileRange(histogram, percentile, true);
    assert.equal(low, -high);
    const wanted = sorted[Math.ceil((percentile / 100) * sorted.length) - 1]!;
    assert.ok(Math.abs(high - wanted) <= 2 * histogram.width, `${high} against ${wanted}`);
    const [least, most] = percentileRange(histogram, percentile, false);
    const all = [...bell].sort((a, b) => a - b);
    const at = (share: number): number => all[Math.min(all.length - 1, Math.floor(share * all.length))]!;
    assert.ok(Math.abs(least - at((1 - percentile / 100) / 2)) <= 0.02, `${least}`);
    assert.ok(Math.abs(most - at((1 + percentile / 100) / 2)) <= 0.02, `${most}`);
  }
  assert.deepEqual(percentileRange(histogramOf([1, 2, 3]), 100, false)[1], 3);
});

test('histogram: no range of the hundred has a smaller squared error over the values themselves, up to the middle of bins', () => {
  const histogram = histogramOf(withOutliers);
  const errorOf = (bound: number): number => {
    const scale = bound / 7.5;
    return withOutliers.reduce((sum, x) => sum + (Math.min(Math.max(Math.round(x / scale), -8), 7) * scale - x) ** 2, 0);
  };
  const [low, high] = leastErrorRange(histogram, { num_bits: 4, symmetric: true });
  const full = Math.max(-histogram.min, histogram.max);
  const least = Math.min(...Array.from({ length: 100 }, (_, i) => errorOf(full * (1 - i / 100))));
  assert.ok(errorOf(Math.max(-low, high)) <= least * 1.01, `${errorOf(Math.max(-low, high))} against ${least}`);
  assert.ok(
    squaredError(histogram, [low, high], { num_bits: 4, symmetric: true }) <
      squaredError(histogram, [-full, full], { num_bits: 4, symmetric: true }),
  );
});

test('entropy: keeps nearly all of an even distribution and cuts far outliers off', () => {
  const even = Array.from({ length: 60000 }, (_, i) => (i / 30000 - 1) * 0.999);
  const [, kept] = entropyRange(histogramOf(even), 8);
  assert.ok(kept > 0.95, `${kept} of 1`);
  const [, cut] = entropyRange(histogramOf(withOutliers), 8);
  const largest = Math.max(...withOutliers.map(Math.abs));
  assert.ok(cut > 2.5 && cut < largest / 2, `${cut} of ${largest}`);
});

const argsOf = (observer: string, changes: Partial<QuantizationArgs> = {}): QuantizationArgs =>
  ({
    num_bits: 8,
    type: 'int',
    symmetric: true,
    strategy: 'tensor',
    dynamic: false,
    observer,
    observer_kwargs: {},
    ...changes,
  }) as QuantizationArgs;

test('an observer of the device: batches in any order, one token, a constant, zeros, an infinity', async () => {
  await withDevice(async (device) => {
    const rangeOf = async (observer: string, batches: number[][], changes: Partial<QuantizationArgs> = {}) => {
      using own = new HistogramObserver(device);
      const args = argsOf(observer, changes);
      for (const batch of batches) {
        using input = device.fromFloats([1, batch.length], Float32Array.from(batch));
        own.observe(input);
        await device.sync();
      }
      return { range: await histogramRange([own], args, 'linear'), finding: await histogramFinding([own], args) };
    };
    const halves = [withOutliers.slice(0, 10000), withOutliers.slice(10000)];
    for (const observer of ['percentile', 'histogram', 'entropy']) {
      assert.deepEqual((await rangeOf(observer, halves)).range, (await rangeOf(observer, [...halves].reverse())).range, observer);
      assert.deepEqual((await rangeOf(observer, [[0, 0]])).range, [0, 0], observer);
      assert.deepEqual((await rangeOf(observer, [[1, Infinity]])).range, [NaN, NaN], observer);
      const [, constant = NaN] = (await rangeOf(observer, [Array.from({ length: 64 }, () => 3)])).range ?? [];
      assert.ok(constant > 2.9 && constant <= 3.01, `${observer} of a constant 3: ${constant}`);
      const [, single = NaN] = (await rangeOf(observer, [[0.5]])).range ?? [];
      assert.ok(single > 0.45 && single <= 0.51, `${observer} of one value 0.5: ${single}`);
    }
    assert.match(
      (await rangeOf('entropy', [[1, 2, 3]])).finding ?? '',
      /distributions of 3 values in up to 2048 bins, which is noise below 20480/,
    );
    assert.equal((await rangeOf('entropy', halves)).finding, null);
    assert.equal((await rangeOf('percentile', [[1, 2, 3]])).finding, null);
    await assert.rejects(rangeOf('percentile', [[1]], { observer_kwargs: { percentile: 0 } }), /a percentile of 0/);
    await assert.rejects(rangeOf('entropy', [[1]], { symmetric: false }), /for symmetric ones/);
    await assert.rejects(rangeOf('histogram', [[1]], { type: 'float' }), /for integers/);
  });
});
