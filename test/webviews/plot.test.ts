// The drawing parts: scales, colours, markup.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fillOf, inkOn, type Theme } from '../../client/webviews/plot/color-ramp.js';
import { drawHistogram } from '../../client/webviews/plot/bars.js';
import { draw, toMarkup, type Drawing } from '../../client/webviews/plot/element.js';
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

const all = (drawing: Drawing, matches: (candidate: Drawing) => boolean): Drawing[] => [
  ...(matches(drawing) ? [drawing] : []),
  ...drawing.children.flatMap((child) => (typeof child === 'string' ? [] : all(child, matches))),
];

test('a histogram: one bar for every bin that is not empty, heights by count, a mark at every grid value', () => {
  const histogram = {
    title: 'w',
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
