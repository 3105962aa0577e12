// The parts of the report page, as pure values.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toMarkup, type Drawing } from '../../client/webviews/plot/element.js';
import { drawHeatmap, heatCells, rankOf, scaleOf, worstOf } from '../../client/webviews/report/error-heatmap.js';
import { drawDetails, drawTooltip } from '../../client/webviews/report/layer-details.js';
import { placeLayers } from '../../client/webviews/layer-places.js';
import { drawTable, orderOr, sortLayers, tableColumns } from '../../client/webviews/report/layer-table.js';
import { metrics, metricsOf, secondsText, trim, type Metric } from '../../client/webviews/report/metrics.js';
import { drawSummary } from '../../client/webviews/report/summary.js';
import { drawRotations } from '../../client/webviews/report/rotation-table.js';
import { drawTransforms } from '../../client/webviews/report/transform-table.js';
import { drawWeights, readArray } from '../../client/webviews/report/weight-histogram.js';
import { drawLiveCells } from '../../client/webviews/run/live-run.js';
import type { LayerMetrics, RunReport } from '../../schemas/src/generated/report.js';
import { liveRun } from '../support/live-run-fixture.js';
import { awqTransform, layerMetrics, reportLayers, runReport } from '../support/report-fixture.js';
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

test('transforms: ratio, scales and gain of a search; without one there is no loss', () => {
  const markup = toMarkup(drawTransforms([awqTransform]));
  for (const part of [
    '1 scaled mapping',
    'model.layers.0.input_layernorm',
    'q_proj, k_proj',
    '0.5, with weights',
    '0.25 … 4',
    '0.002 → 0.0015',
    '25.0 %',
  ])
    assert.ok(markup.includes(part), part);
  const smoothed = toMarkup(
    drawTransforms([{ ...awqTransform, name: 'smoothquant', parent: null, duo_scaling: null, loss_before: null, loss_after: null }]),
  );
  assert.ok(!smoothed.includes('→') && !smoothed.includes('%'));
  assert.match(toMarkup(drawTransforms([{ ...awqTransform, loss_before: 0, loss_after: 0 }])), /0 → 0/);
});

test('the table of rotations says how far each weight stood out before and after', () => {
  const markup = toMarkup(
    drawRotations([{ modifier: 'HadamardModifier', tensor: 'lm_head.weight', incoherence_before: 12.5, incoherence_after: 4.25 }]),
  );
  for (const part of ['1 turned weight<', 'HadamardModifier', 'lm_head.weight', '12.5 → 4.25']) assert.ok(markup.includes(part), part);
});

test('one layer, none, and two thousand', () => {
  const one = toMarkup(drawHeatmap([layerMetrics('lm_head', { block: null, role: 'lm_head' })], outputError, 'dark', 300));
  assert.match(one, /other/);
  assert.doesNotThrow(() => toMarkup(drawHeatmap([], outputError, 'dark', 300)));
  const many = toMarkup(drawHeatmap(reportLayers(286), outputError, 'dark', 300));
  assert.equal(many.match(/data-key=/g)?.length, 2002);
  const table = toMarkup(drawTable(reportLayers(286), { key: 'relative_output_error', descending: true }, null));
  assert.equal(table.match(/<tr data-key=/g)?.length, 2002);
  assert.match(table, /2002 quantized layers/);
  assert.match(toMarkup(drawTable([layerMetrics('a')], { key: 'name', descending: true }, null)), />1 quantized layer</);
  assert.match(toMarkup(drawTable([], { key: 'name', descending: true }, null)), /0 quantized layers/);
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

test('the worst layer is the one of rank 1: the smallest SQNR, the largest error, never one without a value', () => {
  const layers = [
    layerMetrics('none', { weight_sqnr_db: null, relative_output_error: null }),
    layerMetrics('good', { weight_sqnr_db: 30, relative_output_error: 0.1 }),
    layerMetrics('bad', { weight_sqnr_db: 10, relative_output_error: 0.5 }),
  ];
  for (const metric of metrics.filter(({ key }) => key === 'weight_sqnr_db' || key === 'relative_output_error' || key === 'weight_error'))
    assert.equal(worstOf(layers, metric)?.name, 'bad', metric.key);
  assert.equal(worstOf(layers.slice(0, 1), outputError), undefined);
});

test('weights that did not change have an error of zero, not none', () => {
  const layer = layerMetrics('a', { weight_sqnr_db: null, weight_mse: 0 });
  const [value] = metrics.filter(({ key }) => key === 'weight_error').map((metric) => metric.valueOf(layer));
  assert.equal(value, 0);
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

test('roles stand in the order in which a block computes, blocks by number, what is in none last', () => {
  const layers = ['lm_head', '10.down_proj', '10.gate_up_proj', '10.zeta', '2.k_proj', '2.q_proj', '2.alpha'].map((name) =>
    name === 'lm_head' ? layerMetrics(name, { block: null }) : layerMetrics(`model.layers.${name}`, { block: Number(name.split('.')[0]) }),
  );
  const { rows, columns, places } = placeLayers(layers);
  assert.deepEqual(rows, ['block 2', 'block 10', 'other']);
  assert.deepEqual(columns, ['q_proj', 'k_proj', 'gate_up_proj', 'down_proj', 'alpha', 'lm_head', 'zeta']);
  assert.deepEqual(places[1], { row: 1, column: 3 });
});

/** Blocks of 256 experts with three projections, and one whose error is the largest of its kind. */
const manyExperts = (n_blocks: number): LayerMetrics[] =>
  Array.from({ length: n_blocks }, (_, block) =>
    Array.from({ length: 256 }, (__, expert) =>
      ['gate_proj', 'up_proj', 'down_proj'].map((role) =>
        layerMetrics(`model.layers.${block}.mlp.experts.${expert}.${role}`, {
          block,
          role,
          relative_output_error: expert === 77 ? 0.5 : 0.001,
        }),
      ),
    ),
  )
    .flat(2)
    .concat(Array.from({ length: n_blocks }, (_, block) => layerMetrics(`model.layers.${block}.mlp.shared_experts.up_proj`, { block })));

test('of 46,000 layers the experts of a block share a cell, which is that of the worst; every layer has its cell', () => {
  const layers = manyExperts(60);
  const { rows, columns, cells, cellOf } = heatCells(layers, outputError);
  assert.equal(rows.length, 60);
  assert.deepEqual(columns, ['mlp.experts.gate_proj', 'mlp.experts.up_proj', 'mlp.shared_experts.up_proj', 'mlp.experts.down_proj']);
  assert.equal(cells.length, 240);
  assert.equal(cellOf.length, layers.length);
  for (const [at, { layer, n }] of cellOf.entries()) {
    const [one, shown] = [layers[at]!, layer];
    assert.deepEqual([shown.block, shown.role], [one.block, one.role]);
    assert.equal(n, one.name.includes('shared') ? 1 : 256);
    if (n > 1) assert.match(shown.name, /experts\.77\./);
  }
  const picture = toMarkup(drawHeatmap(layers, outputError, 'dark', 900));
  assert.equal(picture.match(/data-key=/g)?.length, 240);
  assert.match(picture, /model\.layers\.9\.mlp\.experts\.77\.up_proj, the worst of 256 layers: 50/);
  assert.match(toMarkup(drawTooltip(layers[0]!, layers, outputError, 256)), /The worst of 256 layers in this cell/);
  const table = toMarkup(drawTable(layers, { key: 'name', descending: false }, null, 1000));
  assert.equal(table.match(/<tr data-key=/g)?.length, 1000);
  assert.match(table, /46140 quantized layers, the first 1000 in this order/);
  assert.equal(heatCells(layers.slice(0, 5000), outputError).cells.length, 5000);
});

test('a run of 46,000 layers: a cell says how many are not finished, and then which of them is the worst', () => {
  const layers = manyExperts(60);
  const run = {
    ...liveRun(1),
    layers: layers.map((layer) => ({ name: layer.name, role: layer.role, block: layer.block, metrics: layer.block === 0 ? layer : null })),
  };
  const picture = toMarkup(drawLiveCells(run, outputError, 'dark', 900));
  assert.equal(picture.match(/data-key=/g)?.length, 240);
  assert.match(picture, /"model\.layers\.1\.mlp\.experts\.0\.up_proj and 255 more: not finished"/);
  assert.match(picture, /"model\.layers\.0\.mlp\.experts\.77\.up_proj, the worst of 256 layers: 50/);
  assert.match(picture, /"model\.layers\.1\.mlp\.shared_experts\.up_proj: not finished"/);
});

test('the worst layer and the cells are found in one pass of the layers', () => {
  const reads = (n_blocks: number): number => {
    let n_reads = 0;
    const counting: Metric = { ...outputError, valueOf: (layer) => ((n_reads += 1), outputError.valueOf(layer)) };
    const layers = manyExperts(n_blocks).map((layer, at) => ({ ...layer, relative_output_error: at }));
    assert.equal(worstOf(layers, counting)?.name, layers.at(-1)?.name);
    heatCells(layers, counting);
    return n_reads;
  };
  assert.ok(reads(40) <= 5 * 40 * 769);
});

test('no layer hides another: experts, cross-attention, two stacks', () => {
  const named = (...names: string[]): LayerMetrics[] =>
    names.map((name) => layerMetrics(name, { block: /\.(\d+)\./.test(name) ? Number(/\.(\d+)\./.exec(name)?.[1]) : null }));
  const experts = placeLayers(
    named(
      'model.layers.0.self_attn.q_proj',
      ...Array.from({ length: 12 }, (_, i) => `model.layers.0.mlp.experts.${i}.up_proj`),
      'model.layers.1.mlp.up_proj',
    ),
  );
  assert.deepEqual(experts.columns.slice(0, 4), ['q_proj', 'mlp.experts.0.up_proj', 'mlp.experts.1.up_proj', 'mlp.experts.2.up_proj']);
  assert.equal(experts.columns.at(-1), 'mlp.up_proj');
  const whisper = placeLayers(
    named(
      'model.encoder.layers.0.self_attn.k_proj',
      'model.decoder.layers.0.self_attn.k_proj',
      'model.decoder.layers.0.encoder_attn.k_proj',
      'proj_out',
      'other.proj_out',
    ),
  );
  assert.deepEqual(whisper.rows, ['encoder 0', 'decoder 0', 'other']);
  assert.deepEqual(whisper.columns, ['encoder_attn.k_proj', 'self_attn.k_proj', 'other.proj_out', 'proj_out']);
  for (const { places } of [experts, whisper]) assert.equal(new Set(places.map((place) => JSON.stringify(place))).size, places.length);
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

test('a table asked to sort by a figure that no layer has sorts by the one shown, worst first', () => {
  const dataFree = [10, 30].map((weight_sqnr_db) => layerMetrics(`a.${weight_sqnr_db}`, { relative_output_error: null, weight_sqnr_db }));
  const asked = { key: 'relative_output_error', descending: true };
  const shown = metricsOf(dataFree).find(({ key }) => key === 'weight_sqnr_db');
  assert.deepEqual(orderOr(asked, dataFree, shown), { key: 'weight_sqnr_db', descending: false });
  assert.deepEqual(orderOr({ key: 'name', descending: false }, dataFree, shown), { key: 'name', descending: false });
  assert.deepEqual(orderOr(asked, reportLayers(1), shown), asked);
});

test('the table of two layers, the list and the tooltip of one', () => {
  const layers = [
    layerMetrics('model.layers.0.mlp.up_proj', { dead_columns: 2 }),
    layerMetrics('lm_head', {
      block: null,
      scheme: null,
      quantizer: null,
      relative_output_error: null,
      weight_sqnr_db: null,
      dampening_frac: null,
    }),
  ];
  const order = { key: 'relative_output_error', descending: true };
  matchesSnapshot('webviews/snapshots/table.html', toMarkup(drawTable(layers, order, 'lm_head')));
  matchesSnapshot('webviews/snapshots/details.html', layers.map((layer) => toMarkup(drawDetails(layer, layers, outputError))).join('\n'));
  matchesSnapshot('webviews/snapshots/tooltip.html', layers.map((layer) => toMarkup(drawTooltip(layer, layers, outputError))).join('\n'));
});

test('a hostile layer name is text in every picture', () => {
  const name = 'model.layers.0."><img src=x onerror=alert(1)><script>.q_proj';
  const layers = [layerMetrics(name), layerMetrics('a'.repeat(5000), { role: '<b>', block: 1 })];
  const problem = { code: 'x', severity: 'warning', message: `${name} is odd`, layer: name, recipe_path: null } as const;
  const report = runReport({ layers, problems: [problem], recipe: { path: `/r/${name}`, sha256: '', text: '' } });
  for (const drawing of [
    drawHeatmap(layers, outputError, 'dark', 640),
    drawTable(layers, { key: 'name', descending: false }, name),
    drawDetails(layers[0]!, layers, outputError),
    drawTooltip(layers[0]!, layers, outputError),
    drawWeights(layers[0]!, { counts: [1], grid: [0] }, true, 480),
    drawSummary(report),
  ])
    assert.doesNotMatch(toMarkup(drawing), /<(img|script|b)\b/);
});

/** x of each grid line, and the x of a value: 480 px wide, 46 left and 10 right of the panel. */
function gridLines(layer: LayerMetrics, grid: number[]): { lines: number[]; x: (value: number) => number } {
  const marks = (drawing: Drawing): Drawing[] => [
    ...(drawing.attributes['class'] === 'mark' ? [drawing] : []),
    ...drawing.children.flatMap((child) => (typeof child === 'string' ? [] : marks(child))),
  ];
  const lines = marks(drawWeights(layer, { counts: [1, 2, 1], grid }, true, 480)).map(({ attributes }) => Number(attributes['x1']));
  const low = Math.min(layer.histogram?.min ?? 0, ...grid);
  const high = Math.max(layer.histogram?.max ?? 0, ...grid);
  return { lines, x: (value) => 46 + ((value - low) / (high - low)) * (480 - 56) };
}

test('grid lines stand at scale · (q − zero point), symmetric and not, inside and beyond the weights', () => {
  const layer = layerMetrics('a');
  for (const [scale, zeroPoint, bits] of [
    [0.02, 0, 4],
    [0.013, -3, 4],
    [0.05, 2, 3],
    [0.2, 0, 2],
  ] as const) {
    const codes = Array.from({ length: 2 ** bits }, (_, i) => i - 2 ** (bits - 1));
    const grid = codes.map((q) => scale * (q - zeroPoint));
    const { lines, x } = gridLines(layer, grid);
    assert.equal(lines.length, 2 ** bits);
    for (const [i, q] of codes.entries())
      assert.ok(Math.abs((lines[i] ?? NaN) - x(scale * (q - zeroPoint))) <= 0.051, `${bits} bits, code ${q}`);
  }
});

test('the title of a histogram counts every weight', () => {
  const layer = layerMetrics('a');
  const counts = Array.from({ length: 128 }, (_, i) => i * i);
  const sum = counts.reduce((total, count) => total + count, 0);
  assert.match(
    toMarkup(drawWeights(layer, { counts, grid: [-0.1, 0, 0.1] }, true, 480)),
    new RegExp(`: ${sum} weights from -0\\.2 to 0\\.2; grid of 3 values`),
  );
  assert.match(toMarkup(drawWeights(layer, { counts, grid: [] }, true, 480)), /grid of 0 values/);
});

test('a summary with little in it: no layers, no sizes, no architecture, an unsaved recipe, half a measurement', () => {
  const { quality } = runReport();
  const text = (changes: Partial<RunReport>): string => {
    const markup = toMarkup(drawSummary(runReport(changes)));
    assert.doesNotMatch(markup, /NaN|Infinity|null|undefined/);
    return markup;
  };
  assert.match(text({ size: { weights_bytes_before: 0, weights_bytes_after: 0, bits_per_weight: 0 } }), /0 B → 0 B/);
  assert.match(text({ model: { dir: '/', architecture_name: null, dtype: 'F32' } }), /unknown architecture/);
  assert.match(text({ recipe: { path: null, sha256: '', text: '' } }), /Unsaved recipe/);
  assert.match(text({ quality: { before: null, after: quality!.after } }), /<div class="figure-value">1\.5015<\/div>/);
  assert.match(text({ quality: null }), /add evaluate to the recipe/);
  const failed = text({ outcome: 'failed', quality: null, output_dir: null, layers: [] });
  assert.match(failed, /Failed before its end/);
  assert.match(failed, /not measured: the run ended before/);
  assert.match(failed, /−64 %, estimated: no file was written/);
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
  assert.deepEqual([0.5, 89, 120, 7200].map(secondsText), ['0.5 s', '89 s', '2.0 min', '2.0 h']);
  assert.equal(trim(0), '0');
});

test('gates stand in the summary, those that do not hold first', () => {
  const text = toMarkup(
    drawSummary(
      runReport({
        gates: [
          { gate: 'max_size', limit: 700_000, value: 670_000, holds: true },
          { gate: 'max_mean_kld', limit: 0.05, value: 0.073, holds: false },
        ],
      }),
    ),
  );
  assert.match(text, /2 gates.*max_mean_kld.*0\.05 nats: 0\.073 nats, does not hold.*max_size.*700\.0 kB: 670\.0 kB, holds/s);
});
