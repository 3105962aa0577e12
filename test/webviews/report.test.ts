// The parts of the report page, as pure values.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toMarkup } from '../../client/webviews/plot/element.js';
import { drawHeatmap, rankOf, rolesOf, scaleOf } from '../../client/webviews/report/error-heatmap.js';
import { drawDetails } from '../../client/webviews/report/layer-details.js';
import { drawTable, sortLayers, tableColumns } from '../../client/webviews/report/layer-table.js';
import { bytesText, metrics, metricsOf, secondsText, trim } from '../../client/webviews/report/metrics.js';
import { drawSummary } from '../../client/webviews/report/summary.js';
import { drawWeights, readArray } from '../../client/webviews/report/weight-histogram.js';
import { layerMetrics, reportLayers, runReport } from '../support/report-fixture.js';
import { matchesSnapshot } from '../support/snapshot.js';

const [outputError] = metrics;
assert.ok(outputError);

test('the heatmap of two blocks, dark and light', () => {
  for (const theme of ['dark', 'light'] as const)
    matchesSnapshot(`webviews/snapshots/heatmap-${theme}.svg`, toMarkup(drawHeatmap(reportLayers(2), outputError, theme, 640)));
});

test('the weights of a layer with their grid', () => {
  const counts = [1, 10, 100, 1000, 1000, 100, 10, 1];
  const grid = Array.from({ length: 16 }, (_, i) => (i - 8) * 0.02);
  matchesSnapshot(
    'webviews/snapshots/weights.svg',
    toMarkup(drawWeights(layerMetrics('model.layers.0.mlp.up_proj'), { counts, grid }, true, 480)),
  );
});

test('the summary: whole, without perplexity, cancelled with problems', () => {
  matchesSnapshot('webviews/snapshots/summary.html', toMarkup(drawSummary(runReport())));
  const unmeasured = toMarkup(drawSummary(runReport({ quality: null })));
  assert.match(unmeasured, /not measured: add evaluate to the recipe/);
  const problem = { code: 'rows-truncated', severity: 'information', message: '<b>109</b> rows', layer: null, recipe_path: null } as const;
  const cancelled = toMarkup(drawSummary(runReport({ outcome: 'cancelled', problems: [problem], layers: [] })));
  assert.match(cancelled, /Cancelled before its end/);
  assert.match(cancelled, /1 note from the run/);
  assert.ok(!cancelled.includes('<b>'));
});

test('one layer, none, and two thousand', () => {
  const one = toMarkup(drawHeatmap([layerMetrics('lm_head', { block: null, role: 'lm_head' })], outputError, 'dark', 300));
  assert.match(one, /other/);
  assert.doesNotThrow(() => toMarkup(drawHeatmap([], outputError, 'dark', 300)));
  const many = toMarkup(drawHeatmap(reportLayers(286), outputError, 'dark', 300));
  assert.equal(many.match(/data-key=/g)?.length, 2002);
});

test('layers without a figure are drawn as such, and a scale of equal values does not divide by zero', () => {
  const layers = [layerMetrics('a.q_proj', { relative_output_error: null }), layerMetrics('b.k_proj', { role: 'k_proj' })];
  assert.match(toMarkup(drawHeatmap(layers, outputError, 'dark', 300)), /cell-empty/);
  assert.equal(scaleOf(layers, outputError).share(0.01), 0.5);
  assert.equal(rankOf(layers[0]!, layers, outputError), null);
  assert.deepEqual(
    metricsOf([layerMetrics('a', { relative_output_error: null, weight_sqnr_db: null })]).map(({ key }) => key),
    ['clipped_share', 'bits_per_weight'],
  );
});

test('ranks: 1 is the worst, whatever the direction of the figure', () => {
  const layers = [
    layerMetrics('a', { weight_sqnr_db: 10, relative_output_error: 0.5 }),
    layerMetrics('b', { weight_sqnr_db: 30, relative_output_error: 0.1 }),
  ];
  for (const metric of metrics.filter(({ key }) => key === 'weight_sqnr_db' || key === 'relative_output_error'))
    assert.deepEqual(
      layers.map((layer) => rankOf(layer, layers, metric)),
      [1, 2],
      metric.key,
    );
});

test('roles stand in the order in which a block computes', () => {
  const layers = ['down_proj', 'zeta', 'k_proj', 'q_proj', 'alpha'].map((role) => layerMetrics(`x.${role}`));
  assert.deepEqual(rolesOf(layers), ['q_proj', 'k_proj', 'down_proj', 'alpha', 'zeta']);
});

test('the table sorts by number and by name, and what has no value comes last either way', () => {
  const layers = [
    layerMetrics('model.layers.10.q'),
    layerMetrics('model.layers.9.q', { relative_output_error: null }),
    layerMetrics('model.layers.2.q', { relative_output_error: 0.5 }),
  ];
  const columns = tableColumns(layers);
  const sorted = (key: string, descending: boolean): string[] =>
    sortLayers(layers, columns, { key, descending }).map(({ name }) => name.split('.')[2] ?? '');
  assert.deepEqual(sorted('name', false), ['2', '9', '10']);
  assert.deepEqual(sorted('relative_output_error', true), ['2', '10', '9']);
  assert.deepEqual(sorted('relative_output_error', false), ['10', '2', '9']);
  const markup = toMarkup(drawTable(layers, { key: 'name', descending: false }, 'model.layers.9.q'));
  assert.match(markup, /aria-sort="ascending"/);
  assert.match(markup, /<tr data-key="model.layers.9.q" class="selected">/);
});

test('the list of a layer names damping and dead columns only where there are some', () => {
  const text = (changes: object): string => toMarkup(drawDetails(layerMetrics('a', changes), [layerMetrics('a', changes)], outputError));
  assert.match(text({ dead_columns: 3 }), /Dead columns/);
  assert.doesNotMatch(text({ dampening_frac: null }), /Dead columns|Damping/);
});

test('an array that its file does not hold is an error with the numbers', () => {
  const file = new Float64Array([1, 2, 3, 4]).buffer;
  assert.deepEqual(readArray({ file: 'a.bin', offset: 8, dtype: 'F64', shape: [3], min: null, max: null }, file), [2, 3, 4]);
  assert.throws(
    () => readArray({ file: 'a.bin', offset: 8, dtype: 'F64', shape: [4], min: null, max: null }, file),
    /a\.bin has 32 bytes; 4 numbers of type F64 at byte 8 do not fit/,
  );
});

test('numbers for people', () => {
  assert.deepEqual([0, 999, 1e3, 1_844_000, 670_000, 1.5e12].map(bytesText), ['0 B', '999 B', '1 kB', '1.84 MB', '670 kB', '1.5 TB']);
  assert.deepEqual([0.5, 89, 120, 7200].map(secondsText), ['0.5 s', '89 s', '2.0 min', '2.0 h']);
  assert.equal(trim(0), '0');
});
