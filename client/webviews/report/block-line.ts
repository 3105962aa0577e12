// A figure behind block after block as a line, on a logarithmic scale: errors grow by factors. What is not finite breaks the line.
import { round } from '../plot/cells.js';
import { draw, type Drawing } from '../plot/element.js';
import { linearScale, logScale, type Scale } from '../plot/scale.js';

export const margin = { left: 54, right: 12, top: 10, bottom: 24 };

export function frame(ticks: readonly number[], y: (value: number) => number, width: number, format: (value: number) => string): Drawing[] {
  return ticks.map((tick) =>
    draw(
      'g',
      { 'aria-hidden': 'true' },
      draw('line', { class: 'grid-line', x1: margin.left, x2: width - margin.right, y1: round(y(tick)), y2: round(y(tick)) }),
      draw('text', { class: 'axis-label', x: margin.left - 6, y: round(y(tick) + 4), 'text-anchor': 'end' }, format(tick)),
    ),
  );
}

/** Labels that touch none before them. */
export function blockLabels(blocks: readonly { x: number; text: string }[], height: number): Drawing[] {
  let free = -Infinity;
  return blocks.flatMap(({ x, text }) => {
    const half = 3.4 * text.length;
    if (x - half < free) return [];
    free = x + half + 6;
    return [draw('text', { class: 'axis-label', x: round(x), y: height - 7, 'text-anchor': 'middle', 'aria-hidden': 'true' }, text)];
  });
}

export interface BlockLine {
  /** null: not finite. */
  points: readonly { label: string; value: number | null }[];
  /** A line across; absent: none. */
  limit?: number;
  format(value: number): string;
  /** All of it in words. */
  label: string;
  width: number;
}

export function drawBlockLine({ points, limit, format, label, width }: BlockLine): Drawing {
  const height = 150;
  const values = points.map(({ value }) => value);
  const positive = [...values, limit ?? null].filter((value) => value !== null).filter((value) => value > 0);
  const scale: Scale = positive.length > 0 ? logScale(Math.min(...positive) / 1.5, Math.max(...positive) * 1.5) : linearScale(0, 1);
  const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
  const x = (i: number): number => margin.left + ((i + 0.5) / points.length) * inner.width;
  const y = (value: number): number => margin.top + (1 - scale.share(value)) * inner.height;
  let begun = false;
  const steps = values.flatMap((value, i) => {
    if (value === null) {
      begun = false;
      return [];
    }
    const step = `${begun ? 'L' : 'M'}${round(x(i))} ${round(y(value))}`;
    begun = true;
    return [step];
  });
  const dots = values.flatMap((value, i) =>
    value === null || points.length > inner.width / 8
      ? []
      : [draw('circle', { class: 'depth-dot', cx: round(x(i)), cy: round(y(value)), r: 2.5 })],
  );
  const across = (kind: string, at: number): Drawing =>
    draw('line', { class: kind, x1: margin.left, x2: width - margin.right, y1: at, y2: at });
  return draw(
    'svg',
    { class: 'depth-line', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label },
    ...frame(scale.ticks(4), y, width, format),
    ...(limit === undefined ? [] : [across('depth-limit', round(y(limit)))]),
    draw('path', { class: 'depth-path', d: steps.join(' ') }),
    ...dots,
    across('axis', margin.top + inner.height),
    ...blockLabels(
      points.map((point, i) => ({ x: x(i), text: point.label })),
      height,
    ),
  );
}
