// The comparison of two runs, as pure values.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toMarkup } from '../../client/webviews/plot/element.js';
import {
  drawDifferences,
  drawFigures,
  drawPairTable,
  drawRatioLegend,
  drawRecipeLines,
  figureRows,
  layerPairs,
  ratioText,
} from '../../client/webviews/comparison/comparison.js';
import { metrics } from '../../client/webviews/report/metrics.js';
import { layerMetrics, runReport } from '../support/report-fixture.js';
import { matchesSnapshot } from '../support/snapshot.js';

const [metric] = metrics;
assert.ok(metric);
const raised = 'model.layers.0.mlp.up_proj';
const a = runReport({ finished_at: '2026-11-21T10:00:00.000Z' });
const b = runReport({
  finished_at: '2026-11-21T11:00:00.000Z',
  seconds: 13,
  size: { weights_bytes_before: 1_840_000, weights_bytes_after: 700_000, bits_per_weight: 4.4 },
  quality: { before: { perplexity: 1.5, nll: 1, tokens: 8793 }, after: { perplexity: 1.5005, nll: 1, tokens: 8793 } },
  layers: [
    ...a.layers.filter(({ name }) => name !== raised && !name.endsWith('1.self_attn.q_proj')),
    layerMetrics(raised, { scheme: 'int8 g32 sym', relative_output_error: 0.00005 }),
  ],
} as never);

test('figures say which run is better', () => {
  const rows = figureRows({ a, b });
  const of = (name: string) => rows.find((row) => row.name === name);
  assert.deepEqual(
    [of('Perplexity')?.better, of('Size of all tensors')?.better, of('Time')?.better, of('Peak memory')?.better],
    [true, false, false, null],
  );
  matchesSnapshot('webviews/snapshots/comparison-figures.html', toMarkup(drawFigures({ a, b })));
});

test('each layer of either run, with the ratio of its errors', () => {
  const pairs = layerPairs({ a, b }, metric);
  assert.equal(pairs.length, 14);
  const pair = pairs.find(({ name }) => name === raised);
  assert.ok(pair?.ratio && pair.ratio < 1);
  // Left as it is in B: there is nothing to divide.
  assert.equal(pairs.find(({ name }) => name.endsWith('1.self_attn.q_proj'))?.ratio, null);
  const markup = toMarkup(drawDifferences(pairs, metric, 'dark', 640));
  assert.match(markup, />16b</);
  assert.match(markup, new RegExp(`>${ratioText(pair.ratio)}<`));
  for (const theme of ['dark', 'light'] as const)
    matchesSnapshot(
      `webviews/snapshots/comparison-${theme}.svg`,
      [drawDifferences(pairs, metric, theme, 640), drawRatioLegend(pairs, theme, 640)].map((drawing) => toMarkup(drawing)).join('\n'),
    );
  const table = toMarkup(drawPairTable(pairs, metric));
  assert.ok(table.indexOf('int8') < table.indexOf('>=<'));
  assert.deepEqual([1, 1.001, 0.5, 3, 1234.5, 1e-5].map(ratioText), ['=', '=', '÷2', '×3', '×1230', '÷1e5']);
});

test('the recipes as a difference with three lines around it; names are text', () => {
  const same = (text: string) => ({ kind: 'same' as const, text });
  const lines = [...'abcdefgh'].map(same);
  assert.match(toMarkup(drawRecipeLines(lines)), /the same recipe/);
  const markup = toMarkup(drawRecipeLines([...lines, { kind: 'removed', text: 'x' }, { kind: 'added', text: '<b>' }, ...lines]));
  assert.match(markup, /&lt;b&gt;/);
  assert.equal(markup.match(/class="line same"/g)?.length, 6);
  assert.equal(markup.match(/gap/g)?.length, 1);
});
