// The pictures of one layer's weights and inputs, as pure values of the report and its arrays.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toMarkup } from '../../client/webviews/plot/element.js';
import { drawStrip, outlinePath } from '../../client/webviews/plot/outline.js';
import { drawAllLayers, drawInputs, drawWeightPictures, outlierText } from '../../client/webviews/report/layer-pictures.js';
import type { InputPicture, SidecarArray, WeightPicture } from '../../schemas/src/generated/report.js';
import { layerMetrics } from '../support/report-fixture.js';
import { matchesSnapshot } from '../support/snapshot.js';

const array = (length: number | number[], min = -0.2, max = 0.2): SidecarArray => ({
  file: 'a.bin',
  dtype: 'U32',
  shape: typeof length === 'number' ? [length] : length,
  offset: 0,
  min,
  max,
});
/** Counts that rise and fall in every row of bins. */
const read = (wanted: SidecarArray): Promise<number[]> => {
  const bins = wanted.shape.at(-1) ?? 1;
  const length = wanted.shape.reduce((n, extent) => n * extent, 1);
  return Promise.resolve(Array.from({ length }, (_, i) => Math.round(100 * Math.exp(-(((i % bins) - bins / 2) ** 2) / bins))));
};
const picture: WeightPicture = {
  rows: 64,
  after: array(8),
  error: array(8, -0.01, 0.01),
  column_slices: { channels: 32, before: array([2, 4]), after: array([2, 4]) },
  row_slices: { channels: 16, before: array([4, 4]), after: array([4, 4]) },
  column_magnitudes: array(64, 0, 1),
  row_magnitudes: array(64, 0, 1),
  outliers: [{ axis: 'column', index: 5, magnitude: 1.25, times_median: 6.5 }],
};
const inputs: InputPicture = { before: array(8, -1, 1), after: array(8, -1.5, 1.5), column_magnitudes: array(64, 0, 3), outliers: [] };
const layer = layerMetrics('model.layers.0.mlp.up_proj', { picture });
const through = { name: layer.name, block: 0, weight: 0, activation: 0, propagated: 0, total: 0 };

test('weights by slices, their error, strips and outliers; inputs before and after', async () => {
  const weights = await drawWeightPictures(layer, picture, 'columns', true, 320, read);
  matchesSnapshot('webviews/snapshots/weight-pictures.html', weights.map((drawing) => toMarkup(drawing)).join('\n'));
  const ofInputs = await drawInputs(through, inputs, 64, false, 320, read);
  matchesSnapshot('webviews/snapshots/input-pictures.html', ofInputs.map((drawing) => toMarkup(drawing)).join('\n'));
});

test('every picture has its numbers: strips by channel, slices by bins before and after', async () => {
  const wide = layerMetrics('wide', { columns: 130, picture });
  const tables = (await drawWeightPictures(wide, picture, 'columns', true, 320, read)).flatMap(({ table }) => table ?? []);
  assert.deepEqual(
    tables.map(({ name, of }) => `${name} of ${of}`),
    [
      'Slices of 32 input channels of wide',
      'Error of the weights of wide',
      'Largest weight of each input channel of wide',
      'Largest weight of each output channel of wide',
    ],
  );
  const [slices, , columns, rows] = tables.map((table) => table.rows());
  assert.deepEqual(slices?.[0]?.slice(0, 4), ['0–31', 'before', -0.2, -0.1]);
  assert.equal(slices?.length, 2 * 2 * 4);
  // 64 bars of 130 channels: three to a bar, and the last has what is left.
  assert.deepEqual(columns?.map((row) => row.slice(0, 2)).slice(0, 2), [
    [0, 2],
    [3, 5],
  ]);
  assert.ok(columns?.every(([first, last]) => Number(last) < 130 && Number(first) <= 190));
  assert.deepEqual(rows?.at(-1)?.slice(0, 2), [63, 63]);
});

test('levels: no slices of the whole tensor, one picture for each slice of channels', async () => {
  const minis = async (level: 'tensor' | 'columns' | 'rows'): Promise<number> => {
    const drawings = await drawWeightPictures(layer, picture, level, true, 320, read);
    return (
      drawings
        .map((drawing) => toMarkup(drawing))
        .join('')
        .match(/class="mini"/g)?.length ?? 0
    );
  };
  assert.deepEqual([await minis('tensor'), await minis('columns'), await minis('rows')], [0, 2, 4]);
});

test('a sample is said to be one, outliers are named with their channel', async () => {
  const text = async (rows: number): Promise<string> =>
    (await drawWeightPictures({ ...layer, rows: 4096 }, { ...picture, rows }, 'tensor', true, 320, read))
      .map((drawing) => toMarkup(drawing))
      .join('');
  assert.match(await text(64), /Counts are of 64 of 4096 rows/);
  assert.doesNotMatch(await text(4096), /Counts are of/);
  assert.equal(
    outlierText(picture.outliers, 'weight'),
    'Channels of the weight that stand out: input channel 5 (1.25, 6.5 times the median).',
  );
  assert.match(outlierText([], 'inputs'), /^No channel of the inputs stands out/);
});

test('an outline goes through every bin and back to the axis; empty counts draw no figure that is not a number', () => {
  const path = outlinePath(
    { counts: [1, 0, 3], min: 0, max: 3 },
    (value) => 10 * value,
    (count) => 30 - 10 * count,
  );
  assert.equal(path, 'M0 30V20H10V30H20V0H30V30');
  assert.doesNotMatch(toMarkup(drawStrip('nothing', [], [], 100)), /NaN|Infinity/);
  assert.doesNotMatch(toMarkup(drawStrip('zeros', [0, 0], [0.5], 100)), /NaN|Infinity/);
});

test('small multiples: a button for each layer that has a histogram, hostile names as text', async () => {
  const name = '"><img src=x onerror=alert(1)>';
  const markup = toMarkup(await drawAllLayers([layer, layerMetrics(name), layerMetrics('none', { histogram: null })], true, read));
  assert.equal(markup.match(/data-layer=/g)?.length, 2);
  assert.doesNotMatch(markup, /<img/);
});
