// Bits under a budget: the Pareto curve of the analysis, solved once for a loss and then read at every position of the slider, and its picture.
import { ParetoCurve } from '../../../schemas/src/allocate-bits.js';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { bitGroups, lossTitles, weightCount, type BitGroup, type LossMetric } from '../../../schemas/src/suggest-bits.js';
import { round } from '../plot/cells.js';
import { draw, type Drawing } from '../plot/element.js';
import { linearScale, logScale } from '../plot/scale.js';
import { trim } from '../report/metrics.js';

export interface Point {
  bitsPerWeight: number;
  loss: number;
}

export interface Budget {
  metric: LossMetric;
  least: number;
  most: number;
  points: Point[];
  uniform: (Point & { num_bits: number })[];
  /** The least loss within so many bits per weight; at the least, where fewer are asked for. */
  at(bitsPerWeight: number): Point & { bytes: number; bits: Map<string, number> };
  /** Of bits that are given, 16 for null; null where one of them was not measured. */
  of(inForce: ReadonlyMap<string, number | null>): Point | null;
}

export function budgetOf(analysis: SensitivityAnalysis, metric: LossMetric): Budget {
  const groups = bitGroups(analysis, metric);
  const curve = new ParetoCurve(groups);
  const n_weights = weightCount(analysis.layers);
  const perWeight = (bytes: number): number => (8 * bytes) / n_weights;
  const points = curve.points(200).map(({ bytes, loss }) => ({ bitsPerWeight: perWeight(bytes), loss }));
  return {
    metric,
    least: perWeight(curve.leastBytes),
    most: points.at(-1)?.bitsPerWeight ?? 0,
    points,
    uniform: uniformPoints(groups, analysis.bits, perWeight),
    at: (bitsPerWeight) => {
      const best = curve.best((bitsPerWeight * n_weights) / 8 + 0.5) ?? curve.at(0);
      const bits = new Map(
        groups.flatMap(({ layers, bits: offered }, index) =>
          layers.map(({ name }) => [name, offered[best.choices[index] ?? 0] ?? 0] as const),
        ),
      );
      return { bitsPerWeight: perWeight(best.bytes), loss: best.loss, bytes: best.bytes, bits };
    },
    of: (inForce) => presentPoint(groups, inForce, perWeight),
  };
}

function uniformPoints(groups: readonly BitGroup[], bits: readonly number[], perWeight: (bytes: number) => number): Budget['uniform'] {
  return bits.flatMap((num_bits) => {
    const alike = groups.map(({ bits: offered, candidates }) => candidates[offered.indexOf(num_bits)]);
    if (!alike.every((candidate) => candidate !== undefined)) return [];
    const bytes = alike.reduce((sum, candidate) => sum + candidate.bytes, 0);
    return [{ num_bits, bitsPerWeight: perWeight(bytes), loss: alike.reduce((sum, candidate) => sum + candidate.loss, 0) }];
  });
}

function presentPoint(
  groups: readonly BitGroup[],
  inForce: ReadonlyMap<string, number | null>,
  perWeight: (bytes: number) => number,
): Point | null {
  let [bytes, loss] = [0, 0];
  for (const { layers, bits, candidates } of groups) {
    const present = new Set(layers.map(({ name }) => inForce.get(name)));
    const [force] = present;
    // Siblings that differ have no figure of their own as a group.
    if (present.size !== 1 || force === undefined) return null;
    if (force === null) bytes += layers.reduce((sum, { bytes_before }) => sum + bytes_before, 0);
    else {
      const candidate = candidates[bits.indexOf(force)];
      if (candidate === undefined) return null;
      bytes += candidate.bytes;
      loss += candidate.loss;
    }
  }
  return { bitsPerWeight: perWeight(bytes), loss };
}

const margin = { left: 64, right: 16, top: 12, bottom: 34 };

export function drawCurve(budget: Budget, chosen: Point, present: Point | null, size: { width: number; height: number }): Drawing {
  const { width, height } = size;
  const all = [...budget.points, ...budget.uniform, ...(present === null ? [] : [present])];
  const losses = all.map(({ loss }) => loss).filter((loss) => loss > 0);
  const across = linearScale(Math.min(...all.map((point) => point.bitsPerWeight)), Math.max(...all.map((point) => point.bitsPerWeight)));
  const up = losses.length > 0 ? logScale(Math.min(...losses), Math.max(...losses)) : linearScale(0, 1);
  const x = (bits: number): number => round(margin.left + across.share(bits) * (width - margin.left - margin.right));
  const y = (loss: number): number => round(height - margin.bottom - up.share(loss) * (height - margin.top - margin.bottom));
  const line = budget.points.map(({ bitsPerWeight, loss }, at) => `${at === 0 ? 'M' : 'L'}${x(bitsPerWeight)} ${y(loss)}`).join('');
  const label = `Predicted loss against bits per weight: from ${trim(budget.points[0]?.loss ?? 0)} at ${budget.least.toFixed(2)} bits to ${trim(budget.points.at(-1)?.loss ?? 0)} at ${budget.most.toFixed(2)}; chosen ${trim(chosen.loss)} at ${chosen.bitsPerWeight.toFixed(2)}.`;
  return draw(
    'svg',
    { class: 'curve', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label },
    ...up
      .ticks(4)
      .map((tick) =>
        draw(
          'g',
          {},
          draw('line', { class: 'grid-line', x1: margin.left, x2: width - margin.right, y1: y(tick), y2: y(tick) }),
          draw('text', { class: 'axis-label', x: margin.left - 6, y: y(tick) + 4, 'text-anchor': 'end' }, trim(tick)),
        ),
      ),
    ...across
      .ticks(Math.max(2, Math.floor(width / 90)))
      .map((tick) =>
        draw('text', { class: 'axis-label', x: x(tick), y: height - margin.bottom + 15, 'text-anchor': 'middle' }, trim(tick)),
      ),
    draw('text', { class: 'axis-label', x: width - margin.right, y: height - 3, 'text-anchor': 'end' }, 'bits per weight, scales included'),
    draw('line', { class: 'axis', x1: margin.left, x2: width - margin.right, y1: height - margin.bottom, y2: height - margin.bottom }),
    draw('path', { class: 'curve-line', d: line, fill: 'none' }),
    ...budget.uniform.map(({ num_bits, bitsPerWeight, loss }) =>
      draw(
        'g',
        {},
        draw('circle', { class: 'uniform', cx: x(bitsPerWeight), cy: y(loss), r: 3.5 }),
        draw(
          'text',
          {
            class: 'axis-label',
            x: x(bitsPerWeight) + (across.share(bitsPerWeight) > 0.8 ? -7 : 7),
            y: Math.max(10, y(loss) - 5),
            'text-anchor': across.share(bitsPerWeight) > 0.8 ? 'end' : 'start',
          },
          `all ${num_bits}`,
        ),
      ),
    ),
    ...(present === null
      ? []
      : [draw('path', { class: 'present', d: `M${x(present.bitsPerWeight)} ${y(present.loss) - 6}l6 6l-6 6l-6 -6z` })]),
    draw('line', { class: 'chosen', x1: x(chosen.bitsPerWeight), x2: x(chosen.bitsPerWeight), y1: margin.top, y2: height - margin.bottom }),
    draw('circle', { class: 'chosen-point', cx: x(chosen.bitsPerWeight), cy: y(chosen.loss), r: 5 }),
  );
}

export const lossText = (metric: LossMetric): string => lossTitles[metric];
