// The outline of a histogram over the same axes as its bars, and the small histograms and strips that have no axes at all.
import { round } from './cells.js';
import { draw } from './element.js';
import type { Drawing } from './element.js';
import { linearScale, logScale } from './scale.js';

export interface Counts {
  counts: readonly number[];
  min: number;
  max: number;
}

/** A row for each bin: whose it is, its ends, its count. */
export const countRows = (series: string, { counts, min, max }: Counts): [string, number, number, number][] =>
  counts.map((count, i) => [series, edge(i, counts, min, max), edge(i + 1, counts, min, max), count]);

/** Without the digits that only the arithmetic of the edges has. */
const edge = (i: number, { length }: readonly number[], min: number, max: number): number =>
  Number((min + ((max - min) * i) / length).toPrecision(12));

/** As steps; where there is nothing it lies on the axis. `x` of a value, `y` of a count. */
export function outlinePath({ counts, min, max }: Counts, x: (value: number) => number, y: (count: number) => number): string {
  const width = (max - min) / Math.max(1, counts.length);
  const steps = counts.map((count, i) => `V${round(y(count))}H${round(x(min + (i + 1) * width))}`);
  return `M${round(x(min))} ${round(y(0))}${steps.join('')}V${round(y(0))}`;
}

/** Bars before and outline after, on common axes. */
export function drawMini(
  title: string,
  before: Counts,
  after: Counts | null,
  logCounts: boolean,
  size: { width: number; height: number },
): Drawing {
  const { width, height } = size;
  const both = after === null ? [before] : [before, after];
  const values = linearScale(Math.min(...both.map(({ min }) => min)), Math.max(...both.map(({ max }) => max)));
  const most = Math.max(1, ...both.flatMap(({ counts }) => counts));
  const scale = logCounts ? logScale(0.5, most) : linearScale(0, most);
  const x = (value: number): number => values.share(value) * width;
  const y = (count: number): number => (count > 0 ? (1 - scale.share(count)) * (height - 2) + 1 : height - 1);
  return draw(
    'svg',
    { class: 'mini', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title },
    draw('path', { class: 'mini-bars', d: `${outlinePath(before, x, y)}Z` }),
    ...(after === null ? [] : [draw('path', { class: 'outline', d: outlinePath(after, x, y) })]),
  );
}

/** One bar for each value from zero up; `marked`: shares of the width that a mark stands at. */
export function drawStrip(title: string, values: readonly number[], marked: readonly number[], width: number): Drawing {
  const height = 46;
  const scale = linearScale(0, Math.max(1e-30, ...values));
  const step = width / Math.max(1, values.length);
  const y = (value: number): number => 8 + (1 - scale.share(value)) * (height - 8);
  const outline = values.map((value, i) => `V${round(y(value))}H${round((i + 1) * step)}`).join('');
  return draw(
    'svg',
    { class: 'strip', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title },
    draw('path', { class: 'mini-bars', d: `M0 ${height}${outline}V${height}Z` }),
    ...marked.map((share) =>
      draw('path', { class: 'depth-mark', d: `M${round(share * width - 4)} 0H${round(share * width + 4)}L${round(share * width)} 7Z` }),
    ),
  );
}
