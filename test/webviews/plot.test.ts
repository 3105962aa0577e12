// The drawing parts: scales, colours, markup.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvText } from '../../client/webviews/csv.js';
import { fillOf, inkOn, type Theme } from '../../client/webviews/plot/color-ramp.js';
import { moveFrom, type Place } from '../../client/webviews/plot/cell-moves.js';
import { drawCells, drawLegend, type Cell } from '../../client/webviews/plot/cells.js';
import { drawHistogram } from '../../client/webviews/plot/bars.js';
import { draw, toDom, toMarkup, type Drawing } from '../../client/webviews/plot/element.js';
import { linearScale, logScale } from '../../client/webviews/plot/scale.js';

const themes: Theme[] = ['dark', 'light', 'high-contrast', 'high-contrast-light'];

/** WCAG 2.1, relative luminance. */
function luminance(color: string): number {
  const channels = color.startsWith('#')
    ? [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16))
    : (color.match(/\d+/g) ?? []).map(Number);
  const [r = 0, g = 0, b = 0] = channels.map((channel) =>
    channel <= 10.31475 ? channel / 255 / 12.92 : ((channel / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

test('the ink on every fill has a contrast of at least 4.5', () => {
  for (const theme of themes)
    for (let share = 0; share <= 1; share += 0.01) {
      const [fill, ink] = [luminance(fillOf(share, theme)), luminance(inkOn(share, theme))];
      const contrast = (Math.max(fill, ink) + 0.05) / (Math.min(fill, ink) + 0.05);
      assert.ok(contrast >= 4.5, `${theme}, share ${share.toFixed(2)}: ${contrast.toFixed(2)}`);
    }
});

test('high values are far from the background: bright on dark, dark on light', () => {
  for (const theme of themes) {
    const [low, high] = [luminance(fillOf(0, theme)), luminance(fillOf(1, theme))];
    assert.equal(high > low, !theme.includes('light'), theme);
    for (let i = 0; i < 20; i += 1) {
      const step = luminance(fillOf((i + 1) / 20, theme)) - luminance(fillOf(i / 20, theme));
      assert.ok(theme.includes('light') ? step < 0 : step > 0, `${theme} is monotonous at ${i / 20}`);
    }
  }
});

test('scales', () => {
  const log = logScale(1e-4, 1);
  assert.deepEqual(
    [1e-4, 1e-2, 1].map((value) => Number(log.share(value).toFixed(9))),
    [0, 0.5, 1],
  );
  assert.deepEqual([log.share(0), log.share(-1), log.share(10)], [0, 0, 1]);
  const linear = linearScale(-1, 3);
  assert.deepEqual([-2, -1, 1, 3, 4].map(linear.share), [0, 0, 0.5, 1, 1]);
  assert.deepEqual(linearScale(2, 2).share(2), 0.5);
  assert.deepEqual(linearScale(0, 10).ticks(5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(logScale(1e-3, 1).ticks(3), [0.001, 0.01, 0.1, 1]);
  assert.ok(logScale(0.3, 0.4).ticks(3).length >= 2);
});

test('names are text, never markup', () => {
  const hostile = '<img src=x onerror="alert(1)">&';
  const markup = toMarkup(draw('g', { 'aria-label': hostile }, draw('text', {}, hostile)));
  assert.ok(!markup.includes('<img'), markup);
  assert.equal(markup.match(/&lt;img src=x onerror=&quot;alert\(1\)&quot;&gt;&amp;/g)?.length, 2);
});

test('on a page too: names become text nodes and attributes, and nothing parses them', () => {
  interface Made {
    tag: string;
    namespace: string | null;
    attributes: Record<string, string>;
    children: (Made | string)[];
  }
  const made = (tag: string, namespace: string | null): object => {
    const element: Made = { tag, namespace, attributes: {}, children: [] };
    return Object.assign(element, {
      setAttribute: (name: string, value: string) => void (element.attributes[name] = value),
      append: (child: Made | string) => void element.children.push(child),
    });
  };
  const page = {
    createElement: (tag: string) => made(tag, null),
    createElementNS: (namespace: string, tag: string) => made(tag, namespace),
    createTextNode: (text: string) => text,
  };
  const hostile = '<img src=x onerror="alert(1)">';
  const drawing = draw('div', { title: hostile }, hostile, draw('svg', { width: 3 }));
  const root = toDom(page as unknown as Document, drawing) as unknown as Made;
  assert.deepEqual([root.tag, root.namespace, root.attributes], ['div', null, { title: hostile }]);
  assert.equal(root.children[0], hostile);
  const svg = root.children[1] as Made;
  assert.deepEqual([svg.tag, svg.namespace, svg.attributes], ['svg', 'http://www.w3.org/2000/svg', { width: '3' }]);
});

const cell = (row: number, column: number, changes: Partial<Cell> = {}): Cell => ({
  row,
  column,
  value: row + column,
  text: String(row + column),
  label: `${row}, ${column}`,
  key: `${row}.${column}`,
  ...changes,
});

test('cells: each inside its row and column, text in all or in none, no fill without a value', () => {
  const matrix = { title: 't', rows: ['a', 'b'], columns: ['q', 'k', 'v'], scale: linearScale(0, 3), theme: 'dark' as const };
  const cells = [cell(0, 0), cell(0, 2), cell(1, 1, { value: null, text: '–' })];
  const wide = drawCells({ ...matrix, cells, width: 400 });
  const rects = all(wide, ({ tag }) => tag === 'rect').map(({ attributes }) => attributes);
  assert.deepEqual(
    rects.map((rect) => rect['class']),
    ['cell-fill', 'cell-fill', 'cell-empty'],
  );
  assert.equal(rects[2]?.['fill'], undefined);
  const [x0 = 0, x2 = 0, x1 = 0] = rects.map((rect) => Number(rect['x']));
  assert.ok(Math.abs(x2 - x1 - (x1 - x0)) < 0.2 && x1 > x0, 'columns are equally wide');
  assert.equal(all(wide, ({ attributes }) => attributes['class'] === 'cell-text').length, 3);
  const narrow = drawCells({ ...matrix, cells: [...cells, cell(1, 0, { text: 'a long text' })], width: 200 });
  assert.equal(all(narrow, ({ attributes }) => attributes['class'] === 'cell-text').length, 0);
  assert.equal(all(narrow, ({ attributes }) => attributes['role'] === 'gridcell').length, 4);
});

test('labels of columns that would touch stand upright, each above its column, and lie down where there is room', () => {
  const headsOf = (columns: readonly string[], width: number): Record<string, unknown>[] =>
    all(
      drawCells({
        title: 't',
        rows: ['block 0'],
        columns,
        cells: columns.map((_, i) => cell(0, i)),
        scale: linearScale(0, 192),
        theme: 'light',
        width,
      }),
      ({ attributes }) => attributes['aria-hidden'] === 'true' && attributes['class'] === 'axis-label',
    ).map(({ attributes, children }) => ({ ...attributes, text: String(children[0]) }));
  const many = headsOf(
    Array.from({ length: 192 }, (_, i) => `mlp.experts.${i}.gate_proj`),
    800,
  );
  assert.equal(many.length, 192);
  assert.equal(many[191]?.['text'], 'mlp.experts.191.gate');
  for (const [i, { x, y, transform }] of many.entries()) {
    assert.equal(transform, `rotate(-90 ${Number(x)} ${Number(y)})`);
    assert.ok(Number(y) > 6 * 20, 'the longest has room above');
    assert.ok(i === 0 || Number(x) - Number(many[i - 1]?.['x']) > 13, 'a line of text is no wider than its column');
  }
  const [long] = headsOf(['model.encoder.layer.attention.output.dense_proj', 'b'], 200);
  assert.equal(long?.['text'], '…ntion.output.dense_proj', 'its end tells it from others');
  assert.ok(headsOf(['q_proj', 'k_proj', 'v_proj'], 400).every(({ transform }) => transform === undefined));
});

test('the legend: every theme from low to high, ticks that do not touch', () => {
  for (const theme of themes) {
    const legend = drawLegend(logScale(1e-6, 1), theme, (value) => value.toExponential(0), 420);
    const fills = all(legend, ({ tag }) => tag === 'rect').map(({ attributes }) => String(attributes['fill']));
    assert.equal(luminance(fills.at(-1) ?? '') > luminance(fills[0] ?? ''), !theme.includes('light'), theme);
    const ticks = all(legend, ({ tag }) => tag === 'text').map(({ attributes }) => Number(attributes['x']));
    assert.ok(ticks.length >= 2, theme);
    for (const [i, x] of ticks.entries()) assert.ok(i === 0 || x - (ticks[i - 1] ?? 0) >= 47.9, ticks.join(', '));
  }
});

test('arrow keys: the nearest cell in line, over empty places, and none beyond the edge', () => {
  //   0 1 2 3
  // 0 a b . c
  // 1 d . . e
  // 2 . . f .
  const cells = { a: [0, 0], b: [0, 1], c: [0, 3], d: [1, 0], e: [1, 3], f: [2, 2] };
  const places: (Place & { name: string })[] = Object.entries(cells).map(([name, [row = 0, column = 0]]) => ({ name, row, column }));
  const move = (from: string, key: string): string | undefined => {
    const place = places.find(({ name }) => name === from);
    assert.ok(place);
    return moveFrom(place, `Arrow${key}`, places)?.name;
  };
  assert.deepEqual(
    ['a', 'b', 'c'].map((from) => move(from, 'Right')),
    ['b', 'c', 'c'],
  );
  assert.deepEqual(
    ['c', 'b', 'a', 'e'].map((from) => move(from, 'Left')),
    ['b', 'a', 'a', 'd'],
  );
  assert.deepEqual(
    ['a', 'd', 'c', 'b'].map((from) => move(from, 'Down')),
    ['d', 'd', 'e', 'b'],
  );
  assert.deepEqual(
    ['d', 'e', 'f'].map((from) => move(from, 'Up')),
    ['a', 'c', 'f'],
  );
  const named = (at: number, key: string): string | undefined => moveFrom(places[at]!, key, places)?.name;
  assert.deepEqual([named(0, 'End'), named(2, 'Home'), named(5, 'Home'), named(2, 'End')], ['c', 'a', 'f', 'c']);
  assert.equal(moveFrom(places[0]!, 'PageDown', places), null);
});

const all = (drawing: Drawing, matches: (candidate: Drawing) => boolean): Drawing[] => [
  ...(matches(drawing) ? [drawing] : []),
  ...drawing.children.flatMap((child) => (typeof child === 'string' ? [] : all(child, matches))),
];

const named = { title: 'w', name: 'weights', of: 'w' };

test('a histogram: one bar for every bin that is not empty, heights by count, a mark at every grid value', () => {
  const histogram = {
    ...named,
    counts: [0, 10, 100, 1000, 0],
    min: -1,
    max: 1,
    marks: [-0.5, 0, 0.5],
    width: 456,
    height: 200,
    format: String,
  };
  const linear = drawHistogram({ ...histogram, logCounts: false });
  const bars = all(linear, ({ attributes }) => attributes['class'] === 'bar');
  const heights = bars.map(({ attributes }) => Number(attributes['height']));
  assert.equal(heights.length, 3);
  assert.ok(Math.abs((heights[1] ?? 0) / (heights[2] ?? 1) - 0.1) < 0.01, heights.join(', '));
  const logarithmic = all(drawHistogram({ ...histogram, logCounts: true }), ({ attributes }) => attributes['class'] === 'bar').map(
    ({ attributes }) => Number(attributes['height']),
  );
  const [a = 0, b = 0, c = 0] = logarithmic;
  // Equal ratios are equal steps.
  assert.ok(Math.abs(c - b - (b - a)) < 0.5, logarithmic.join(', '));
  const marks = all(linear, ({ attributes }) => attributes['class'] === 'mark').map(({ attributes }) => Number(attributes['x1']));
  // 400 px for [-1, 1], beginning at 46.
  assert.deepEqual(marks, [146, 246, 346]);
  const wide = drawHistogram({ ...histogram, logCounts: true, marks: Array.from({ length: 256 }, (_, i) => -1 + i / 128) });
  const ticks = all(wide, ({ attributes }) => attributes['class'] === 'mark');
  assert.ok(
    ticks.every(({ attributes }) => Number(attributes['y2']) - Number(attributes['y1']) === 6),
    'a dense grid stays at the axis',
  );
});

test('the table of a histogram: bins by their ends, the outline and the marks in rows of their own', () => {
  const { table } = drawHistogram({
    ...named,
    series: ['before', 'after', 'grid'],
    counts: [1, 2, 3],
    min: 0,
    max: 0.3,
    marks: [0.25],
    outline: { counts: [4], min: -1, max: 1 },
    logCounts: true,
    width: 300,
    height: 100,
    format: String,
  });
  assert.deepEqual([table?.name, table?.of, table?.heads], ['weights', 'w', ['series', 'from', 'to', 'count']]);
  assert.deepEqual(table?.rows(), [
    ['before', 0, 0.1, 1],
    ['before', 0.1, 0.2, 2],
    ['before', 0.2, 0.3, 3],
    ['after', -1, 1, 4],
    ['grid', 0.25, 0.25, null],
  ]);
});

test('a CSV file: what has commas, quotes and lines is quoted, and nothing begins a formula', () => {
  const text = csvText(
    ['layer', 'error'],
    [
      ['a,"b"\nc', 0.1],
      ['=1+1', null],
      ['-x', 0],
    ],
  );
  assert.equal(text, `layer,error\n"a,""b""\nc",0.1\n"'=1+1",\n"'-x",0\n`);
});

test('the bars hold every count: heights add up to the sum, the largest fills the panel', () => {
  const counts = Array.from({ length: 128 }, (_, i) => Math.round(1000 * Math.exp(-(((i - 64) / 20) ** 2))));
  const histogram = { ...named, counts, min: -2, max: 2, marks: [], logCounts: false, width: 456, height: 1034, format: String };
  const heights = all(drawHistogram(histogram), ({ attributes }) => attributes['class'] === 'bar').map(({ attributes }) =>
    Number(attributes['height']),
  );
  assert.equal(heights.length, counts.filter((count) => count > 0).length);
  // 1000 px for the largest count, 1000.
  assert.equal(Math.max(...heights), 1000);
  const sum = counts.reduce((total, count) => total + count, 0);
  assert.ok(Math.abs(heights.reduce((total, height) => total + height, 0) - sum) < 0.05 * counts.length, String(sum));
});

test('a histogram of nothing, of one value, and of one bin', () => {
  const histogram = { ...named, counts: [0, 0], min: 0, max: 0, marks: [], logCounts: true, width: 300, height: 200, format: String };
  for (const changes of [{}, { counts: [5] }, { counts: [5], marks: [0] }, { counts: [5], marks: [-1, 1], logCounts: false }]) {
    const drawing = drawHistogram({ ...histogram, ...changes });
    const numbers = all(drawing, () => true).flatMap(({ attributes }) =>
      Object.values(attributes).filter((value) => typeof value === 'number'),
    );
    assert.ok(numbers.every(Number.isFinite), toMarkup(drawing));
  }
});
