// Observers of several devices, merged, against one that has seen all rows: the same, to the bit or to the rounding of sums.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { ChannelMeanObserver, mergeMeans } from '../../../worker/src/observers/channel-mean.js';
import { ChannelRangeObserver, mergeRanges } from '../../../worker/src/observers/channel-range.js';
import { HessianObserver, mergeHessians } from '../../../worker/src/observers/hessian.js';
import { histogramFinding, HistogramObserver, histogramObservers, histogramRange } from '../../../worker/src/observers/histogram.js';
import { mergeHistograms, type Histogram } from '../../../worker/src/observers/histogram-range.js';
import type { Observer } from '../../../worker/src/observers/observer.js';
import { StaticRangeObserver, staticRange } from '../../../worker/src/observers/static-range.js';
import type { Device } from '../../../worker/src/tensor/tensor.js';
import { weightArgs } from '../../support/layer-plan.js';
import { withDevices } from '../../support/native-device.js';
import { seededRandom } from '../../support/random.js';

const n_batches = 7;
/** Batch i has 1 + i % 3 documents of 5 tokens. */
const documentsOf = (batch: number): number => 1 + (batch % 3);
const tokens = 5;

/** Batch i goes to observer i mod n; an observer is on the device of its number. */
function observeAll(observers: readonly Observer[], devices: readonly Device[], columns: number): void {
  const random = seededRandom(7);
  let firstDocument = 0;
  for (let batch = 0; batch < n_batches; batch += 1) {
    const n_documents = documentsOf(batch);
    const offsets = Array.from({ length: n_documents + 1 }, (_, document) => document * tokens);
    const values = Float32Array.from({ length: n_documents * tokens * columns }, () => (random.next() - 0.5) * (1 + batch));
    const at = batch % observers.length;
    using input = devices[at]!.fromFloats([n_documents * tokens, columns], values);
    observers[at]!.observe(input, { offsets, firstDocument });
    firstDocument += n_documents;
  }
}

const args = (observer: string): QuantizationArgs => weightArgs({ strategy: 'tensor', observer });

for (const name of ['static_minmax', 'minmax', 'memoryless_minmax'])
  test(`the range of ${name} is the same on one, two and three devices`, () =>
    withDevices(3, async (devices) => {
      const range = async (n: number): Promise<[number, number] | null> => {
        const observers = devices.slice(0, n).map((device) => new StaticRangeObserver(device, args(name), 'linear'));
        observeAll(observers, devices, 4);
        const answer = await staticRange(observers, args(name));
        for (const observer of observers) observer[Symbol.dispose]();
        return answer;
      };
      const one = await range(1);
      assert.ok(one !== null && one[0] < one[1]);
      assert.deepEqual(await range(2), one);
      assert.deepEqual(await range(3), one);
      assert.equal(await staticRange([new StaticRangeObserver(devices[0]!, args(name), 'linear')], args(name)), null);
    }));

for (const name of histogramObservers)
  test(`the range of ${name} is the same on one, two and three devices, and so is what it says of too few rows`, () =>
    withDevices(3, async (devices) => {
      const told = async (n: number): Promise<{ range: [number, number] | null; finding: string | null }> => {
        const observers = devices.slice(0, n).map((device) => new HistogramObserver(device));
        observeAll(observers, devices, 4);
        const [range, finding] = [await histogramRange(observers, args(name), 'linear'), await histogramFinding(observers, args(name))];
        for (const observer of observers) observer[Symbol.dispose]();
        return { range, finding };
      };
      const one = await told(1);
      assert.ok(one.range !== null && one.range[0] < one.range[1]);
      if (name === 'entropy') assert.match(one.finding ?? '', /distributions of 260 values/);
      else assert.equal(one.finding, null);
      for (const n of [2, 3]) assert.deepEqual(await told(n), one);
      assert.equal(await histogramRange([new HistogramObserver(devices[0]!)], args(name), 'linear'), null);
    }));

test('histograms of several devices: one that has seen nothing, one of zeros alone, one with an infinity', () =>
  withDevices(3, async (devices) => {
    const rangeOf = async (...values: number[][]): Promise<[number, number] | null> => {
      const observers = values.map((_, i) => new HistogramObserver(devices[i]!));
      for (const [i, batch] of values.entries()) {
        if (batch.length === 0) continue;
        using input = devices[i]!.fromFloats([1, batch.length], Float32Array.from(batch));
        observers[i]!.observe(input);
      }
      const range = await histogramRange(observers, args('percentile'), 'linear');
      for (const observer of observers) observer[Symbol.dispose]();
      return range;
    };
    const values = Array.from({ length: 300 }, (_, i) => i / 100 - 1);
    assert.deepEqual(await rangeOf([], values, []), await rangeOf(values));
    assert.deepEqual(await rangeOf([0, 0], values, [0]), await rangeOf([...values, 0, 0, 0]));
    assert.deepEqual(await rangeOf([0], [0]), [0, 0]);
    assert.deepEqual(await rangeOf(values, [1, -Infinity]), [NaN, NaN]);
    assert.equal(await rangeOf([], []), null);
  }));

test('the bins of several devices, of three widths, become those of one that has seen all values', () =>
  withDevices(1, async ([device]) => {
    const seen = async (values: number[]): Promise<Histogram> => {
      using observer = new HistogramObserver(device!);
      using input = device!.fromFloats([1, values.length], Float32Array.from(values));
      observer.observe(input);
      const histogram = await observer.seen();
      assert.ok(histogram !== null && histogram !== 'not finite');
      return histogram;
    };
    const random = seededRandom(3);
    const parts = [1, 0.01, 40].map((size) => Array.from({ length: 5000 }, () => (random.next() - 0.5) * size));
    const histograms = await Promise.all(parts.map(seen));
    assert.equal(new Set(histograms.map(({ width }) => width)).size, 3);
    assert.deepEqual(mergeHistograms(histograms), await seen(parts.flat()));
    assert.equal(mergeHistograms([]), null);
  }));

for (const steps of [null, 1, 4, 100])
  test(`channel ranges over ${steps ?? 'all'} rows are the same on one, two and three devices`, () =>
    withDevices(3, async (devices) => {
      const ranges = async (n: number): Promise<Float32Array> => {
        const observers = devices.slice(0, n).map((device) => new ChannelRangeObserver(device, steps));
        observeAll(observers, devices, 9);
        using merged = await mergeRanges(observers, devices[0]!);
        assert.ok(merged);
        return merged.readFloats();
      };
      const one = await ranges(1);
      assert.deepEqual(await ranges(2), one);
      assert.deepEqual(await ranges(3), one);
      assert.equal(await mergeRanges([new ChannelRangeObserver(devices[1]!, null)], devices[0]!), null);
    }));

test('mean magnitudes: sums of doubles in another order, on the device that asks', () =>
  withDevices(3, async (devices) => {
    const means = async (n: number): Promise<[number, Float64Array]> => {
      const observers = devices.slice(0, n).map((device) => new ChannelMeanObserver(device));
      observeAll(observers, devices, 9);
      const merged = await mergeMeans(observers, devices[1]!);
      assert.ok(merged);
      using sums = merged.sums;
      assert.equal(sums.device, devices[1]);
      return [merged.n_tokens, await sums.readDoubles()];
    };
    const [n_tokens, one] = await means(1);
    assert.equal(n_tokens, 13 * tokens);
    for (const n of [2, 3]) {
      const [same, sums] = await means(n);
      assert.equal(same, n_tokens);
      sums.forEach((sum, column) => assert.ok(Math.abs(sum - one[column]!) <= 1e-14 * one[column]!));
    }
    assert.equal(await mergeMeans([new ChannelMeanObserver(devices[0]!)], devices[0]!), null);
  }));

/** The second is larger than what travels at a time. */
for (const columns of [9, 4200])
  test(`a Hessian of ${columns} columns: each device counts by its rows, on whichever device the sum is wanted`, () =>
    withDevices(3, async (devices) => {
      const hessian = async (n: number, target: number): Promise<Float32Array> => {
        const observers = devices.slice(0, n).map((device) => new HessianObserver(device));
        observeAll(observers, devices, columns);
        using merged = await mergeHessians(observers, devices[target]!);
        assert.equal(merged?.device, devices[target]);
        return merged!.readFloats();
      };
      const one = await hessian(1, 0);
      const diagonal = (i: number): number => one[i * columns + i]!;
      const first = await hessian(3, 0);
      let worst = 0;
      first.forEach((value, at) => {
        const scale = Math.sqrt(diagonal(Math.floor(at / columns)) * diagonal(at % columns));
        worst = Math.max(worst, Math.abs(value - one[at]!) / scale);
      });
      assert.ok(worst > 0 && worst < 1e-6, `the sum is another one, and off by ${worst}`);
      for (const target of [1, 2]) assert.ok(bytesOf(await hessian(3, target)).equals(bytesOf(first)), `on device ${target}`);
      assert.ok(bytesOf(await hessian(1, 2)).equals(bytesOf(one)), 'moved as it is');
      assert.equal(await mergeHessians([new HessianObserver(devices[0]!)], devices[1]!), null);
    }));

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer => Buffer.from(buffer, byteOffset, byteLength);
