// A histogram: bars of counts over a value axis, logarithmic or linear counts, and lines for values that are marked on the axis.
import { round } from './cells.js';
import { draw } from './element.js';
import type { Drawing, PictureTable } from './element.js';
import { countRows, outlinePath, type Counts } from './outline.js';
import { linearScale, logScale } from './scale.js';

export interface Histogram {
  title: string;
  /** As PictureTable has them. */
  name: string;
  of: string;
  /** What bars, outline and marks are called in the table of the numbers. */
  series?: readonly [bars: string, outline: string, marks: string];
  counts: readonly number[];
  /** Values at the outer edges of the first and last bin. */
  min: number;
  max: number;
  /** Values drawn as lines over the whole height. */
  marks: readonly number[];
  /** Counts drawn as an outline over the bars. */
  outline?: Counts | null;
  logCounts: boolean;
  width: number;
  height: number;
  format(value: number): string;
}

const margin = { left: 46, right: 10, top: 8, bottom: 26 };

const unnamed = ['values', 'outline', 'marks'] as const;

export function drawHistogram(histogram: Histogram): Drawing {
  const { title, counts, min, max, marks, outline = null, logCounts, width, height, format } = histogram;
  const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
  const largest = Math.max(1, ...counts, ...(outline?.counts ?? []));
  // A logarithmic count begins below one, so that single weights are seen.
  const countScale = logCounts ? logScale(0.5, largest) : linearScale(0, largest);
  const low = Math.min(min, outline?.min ?? min, ...marks);
  const high = Math.max(max, outline?.max ?? max, ...marks);
  const values = linearScale(low, high);
  const x = (value: number): number => margin.left + values.share(value) * inner.width;
  const y = (count: number): number => margin.top + (1 - countScale.share(count)) * inner.height;
  const binWidth = (max - min) / counts.length;
  const bottom = margin.top + inner.height;
  const bars = counts.flatMap((count, i) => {
    if (count === 0) return [];
    const begin = x(min + i * binWidth);
    const end = x(min + (i + 1) * binWidth);
    return [
      draw('rect', {
        class: 'bar',
        x: round(begin),
        y: round(y(count)),
        width: round(Math.max(0.6, end - begin - 0.4)),
        height: round(bottom - y(count)),
      }),
    ];
  });
  // Too many lines would hide the bars: the widest grid is drawn as ticks at the axis.
  const dense = marks.length > inner.width / 6;
  const lines = marks.map((mark) =>
    draw('line', { class: 'mark', x1: round(x(mark)), x2: round(x(mark)), y1: dense ? bottom - 6 : margin.top, y2: bottom }),
  );
  const countTicks = (logCounts ? powersOfTen(largest) : linearScale(0, largest).ticks(4)).map((tick) =>
    draw(
      'g',
      { 'aria-hidden': 'true' },
      draw('line', { class: 'grid-line', x1: margin.left, x2: width - margin.right, y1: round(y(tick)), y2: round(y(tick)) }),
      draw('text', { class: 'axis-label', x: margin.left - 6, y: round(y(tick) + 4), 'text-anchor': 'end' }, shortCount(tick)),
    ),
  );
  const valueTicks = values
    .ticks(Math.max(2, Math.floor(inner.width / 80)))
    .map((tick) =>
      draw('text', { class: 'axis-label', x: round(x(tick)), y: height - 8, 'text-anchor': 'middle', 'aria-hidden': 'true' }, format(tick)),
    );
  const axis = draw('line', { class: 'axis', x1: margin.left, x2: width - margin.right, y1: bottom, y2: bottom });
  const svg = draw(
    'svg',
    { class: 'histogram', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title },
    ...countTicks,
    ...bars,
    ...lines,
    ...(outline === null
      ? []
      : [draw('path', { class: 'outline', d: outlinePath(outline, x, (count) => (count > 0 ? y(count) : bottom)) })]),
    axis,
    ...valueTicks,
  );
  return { ...svg, table: histogramTable(histogram) };
}

function histogramTable({ name, of, series = unnamed, counts, min, max, marks, outline = null }: Histogram): PictureTable {
  const [bars, outlined, marked] = series;
  return {
    name,
    of,
    heads: ['series', 'from', 'to', 'count'],
    rows: () => [
      ...countRows(bars, { counts, min, max }),
      ...(outline === null ? [] : countRows(outlined, outline)),
      ...marks.map((mark) => [marked, mark, mark, null]),
    ],
  };
}

function powersOfTen(largest: number): number[] {
  const ticks: number[] = [];
  for (let tick = 1; tick <= largest; tick *= 10) ticks.push(tick);
  return ticks;
}

const shortCount = (count: number): string => (count >= 1e6 ? `${count / 1e6} M` : count >= 1e3 ? `${count / 1e3} k` : String(count));
