// The pictures of the error through depth, as pure values.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toMarkup, type Drawing } from '../../client/webviews/plot/element.js';
import { drawDepthBars, drawDepthKey, drawDepthLine, drawDepthTable, layerErrorText } from '../../client/webviews/report/depth-plot.js';
import { cpuMilliseconds } from '../support/cpu-time.js';
import { errorDepth } from '../support/depth-fixture.js';
import { layerMetrics, reportLayers } from '../support/report-fixture.js';
import { matchesSnapshot } from '../support/snapshot.js';

const depth = errorDepth(reportLayers(2));

test('the line, the bars, their key and their table', () => {
  matchesSnapshot('webviews/snapshots/depth-line.svg', toMarkup(drawDepthLine(depth, 480)));
  matchesSnapshot('webviews/snapshots/depth-bars.svg', toMarkup(drawDepthBars(depth, 'model.layers.0.mlp.up_proj', 480)));
  matchesSnapshot('webviews/snapshots/depth-table.html', toMarkup(drawDepthTable(depth, 'model.layers.0.mlp.up_proj')));
  assert.match(toMarkup(drawDepthKey()), /weights.*activations.*propagated/s);
});

const found = (drawing: Drawing, fits: (drawing: Drawing) => boolean): Drawing[] => [
  ...(fits(drawing) ? [drawing] : []),
  ...drawing.children.flatMap((child) => (typeof child === 'string' ? [] : found(child, fits))),
];

test('parts stand on each other and end where their sum is; the total has its own line', () => {
  const bars = found(
    drawDepthBars(depth, null, 480),
    ({ attributes }) => String(attributes['class']).startsWith('depth-bar') && attributes['role'] === 'option',
  );
  const number = (drawing: Drawing | undefined, name: string): number => Number(drawing?.attributes[name]);
  // 210 px high, 10 above and 24 below; the largest sum is 0.015 + 0.12 · 13 / 14.
  const y = (value: number): number => 10 + (1 - value / (1.05 * (0.015 + (0.12 * 13) / 14))) * 176;
  for (const [i, layer] of depth.layers.entries()) {
    const parts = found(bars[i]!, ({ attributes }) => String(attributes['class']).startsWith('part-'));
    assert.equal(parts.length, i === 0 ? 2 : 3);
    parts.slice(1).forEach((part, at) => assert.ok(Math.abs(number(part, 'y') + number(part, 'height') - number(parts[at], 'y')) < 0.21));
    assert.ok(Math.abs(number(parts.at(-1), 'y') - y(layer.total!)) < 0.11, layer.name);
  }
});

test('one layer takes the focus: the chosen one, else the first that diverges', () => {
  const focusable = (drawing: Drawing): unknown[] =>
    found(drawing, ({ attributes }) => attributes['tabindex'] === 0).map(({ attributes }) => attributes['data-key']);
  assert.deepEqual(focusable(drawDepthBars(depth, 'model.layers.0.mlp.up_proj', 480)), ['model.layers.0.mlp.up_proj']);
  // 0.015 + 0.12 · i / 14 > 0.1 from i = 10 on.
  assert.deepEqual(focusable(drawDepthBars(depth, null, 480)), ['model.layers.1.self_attn.o_proj']);
});

test('what is not finite, nothing at all, and a model of 126 blocks', () => {
  const broken = errorDepth([layerMetrics('a'), layerMetrics('b')]);
  Object.assign(broken.layers[1]!, { total: null, propagated: null });
  broken.blocks[1]!.error = null;
  for (const drawing of [drawDepthBars(broken, null, 300), drawDepthLine(broken, 300)])
    assert.doesNotMatch(toMarkup(drawing), /NaN|Infinity/);
  assert.match(layerErrorText(broken.layers[1]!), /^b: output error not finite; weights 1 %, activations 0\.5 %, propagated not finite$/);
  const none = errorDepth([]);
  assert.doesNotMatch(toMarkup(drawDepthBars(none, null, 300)) + toMarkup(drawDepthLine(none, 300)), /NaN|Infinity/);
  const began = cpuMilliseconds();
  const large = toMarkup(drawDepthBars(errorDepth(reportLayers(126)), null, 1000));
  assert.ok(cpuMilliseconds() - began < 2000);
  assert.equal(large.match(/role="option"/g)?.length, 882);
  assert.match(large, /viewBox="0 0 3594 210"/);
});

test('a hostile name is text', () => {
  const name = '"><img src=x onerror=alert(1)>';
  const hostile = errorDepth([layerMetrics(name)]);
  for (const drawing of [drawDepthBars(hostile, name, 300), drawDepthTable(hostile, name)]) assert.doesNotMatch(toMarkup(drawing), /<img/);
});
