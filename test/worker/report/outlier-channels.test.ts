// Which channels are named: those far from the median, farthest first, no more than eight; and the strip that keeps the largest of neighbours.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rebinned } from '../../../worker/src/evaluate/seen-inputs.js';
import { magnitudesOf, magnitudeStrip, outlierChannels } from '../../../worker/src/report/outlier-channels.js';

test('channels of three times the median and more, farthest first', () => {
  const magnitudes = new Float32Array(100).fill(0.5);
  [magnitudes[7], magnitudes[42], magnitudes[43]] = [1.5, 5, 1.4];
  assert.deepEqual(outlierChannels('column', magnitudes), [
    { axis: 'column', index: 42, magnitude: 5, times_median: 10 },
    { axis: 'column', index: 7, magnitude: 1.5, times_median: 3 },
  ]);
  assert.equal(
    outlierChannels(
      'row',
      new Float32Array(30).map((_, i) => (i < 12 ? 10 + i : 1)),
    ).length,
    8,
  );
  assert.deepEqual(outlierChannels('row', new Float32Array(9)), [], 'most channels are empty');
  assert.deepEqual(outlierChannels('row', new Float32Array(0)), []);
});

test('a strip has a value for each channel, or the largest of neighbours', () => {
  const few = Float32Array.of(1, 2, 3);
  assert.equal(magnitudeStrip(few), few);
  const many = new Float32Array(4096).map((_, i) => (i === 4001 ? 9 : 1));
  const strip = magnitudeStrip(many);
  assert.equal(strip.length, 512);
  assert.deepEqual([strip[500], strip[499]], [9, 1]);
  assert.deepEqual([...magnitudesOf(Float32Array.of(-3, -1, 2, 4))], [3, 4]);
});

test('fewer bins hold as many values, where they were', () => {
  const counts = new Float64Array(16);
  [counts[7], counts[8], counts[15]] = [5, 6, 1];
  const { counts: own, range } = rebinned({ counts, width: 0.5, min: -0.4, max: 3.9 });
  assert.deepEqual(range, { min: -0.4, max: 3.9 });
  assert.equal(
    own.reduce((sum, count) => sum + count, 0),
    12,
  );
  assert.deepEqual(
    [own[Math.floor((128 * 0.15) / 4.3)], own[Math.floor((128 * 0.65) / 4.3)], own[Math.floor((128 * 4.15) / 4.3)]],
    [5, 6, 1],
  );
});
