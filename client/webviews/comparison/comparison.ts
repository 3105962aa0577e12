// Two reports side by side: size, quality and time, what each layer gained or lost, and the lines of the recipe that differ. Pure drawings.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { LayerMetrics, RunReport } from '../../../schemas/src/generated/report.js';
import type { RecipeLine } from '../../../schemas/src/protocol/client-webview.js';
import { qualityMetrics } from '../../../schemas/src/quality-metrics.js';
import { mostRows, placeCells } from '../layer-places.js';
import { drawCells, drawLegend } from '../plot/cells.js';
import type { Theme } from '../plot/color-ramp.js';
import { draw, drawTableOf, type Drawing } from '../plot/element.js';
import { linearScale, type Scale } from '../plot/scale.js';
import { counted, secondsText, trim, type Metric } from '../report/metrics.js';

export interface Runs {
  /** The earlier one. */
  a: RunReport;
  b: RunReport;
}

const percentChange = (a: number, b: number): string => {
  if (a === b) return 'same';
  if (!(a > 0)) return '–';
  const part = (b / a - 1) * 100;
  return `${part > 0 ? '+' : '−'}${Math.abs(part).toFixed(Math.abs(part) < 10 ? 2 : 0)} %`;
};

interface FigureRow {
  name: string;
  a: string;
  b: string;
  difference: string;
  /** null: neither is better. */
  better: boolean | null;
}

export function figureRows({ a, b }: Runs): FigureRow[] {
  const row = (name: string, x: number | null, y: number | null, text: (value: number) => string, lower: boolean | null): FigureRow => ({
    name,
    a: x === null ? '–' : text(x),
    b: y === null ? '–' : text(y),
    difference: x === null || y === null ? '–' : percentChange(x, y),
    better: lower === null || x === null || y === null || x === y ? null : y < x === lower,
  });
  const quality = qualityMetrics.flatMap((metric) => {
    const [x, y] = [a, b].map((report) => (report.quality === null ? null : metric.valueOf(report.quality).after)) as [
      number | null,
      number | null,
    ];
    return x === null && y === null ? [] : [row(metric.name, x, y, metric.format, isLowerBetter(metric))];
  });
  return [
    ...quality,
    row('Size of all tensors', a.size.weights_bytes_after, b.size.weights_bytes_after, bytesText, true),
    row('Bits per weight', a.size.bits_per_weight, b.size.bits_per_weight, trim, true),
    row('Time', a.seconds, b.seconds, secondsText, true),
    row('Peak memory', a.memory.measured_peak_bytes, b.memory.measured_peak_bytes, bytesText, true),
  ];
}

export const isLowerBetter = ({ key, unit }: (typeof qualityMetrics)[number]): boolean =>
  key === 'perplexity' || key === 'rms_delta_p' || unit === 'nats';

export const nameOf = ({ recipe }: RunReport): string => recipe.path?.split(/[\\/]/).at(-1) ?? 'unsaved recipe';
export const whenOf = ({ finished_at }: RunReport): string => finished_at.replace('T', ' ').replace(/\.\d+Z$/, ' UTC');

export function drawFigures(runs: Runs): Drawing {
  const head = (...parts: (Drawing | string)[]): Drawing => draw('th', { scope: 'col', class: 'numeric' }, ...parts);
  const headOf = (letter: string, report: RunReport): Drawing =>
    head(`${letter}: ${nameOf(report)}`, draw('span', { class: 'when' }, whenOf(report)));
  const rows = figureRows(runs).map(({ name, a, b, difference, better }) =>
    draw(
      'tr',
      {},
      draw('th', { scope: 'row' }, name),
      draw('td', { class: 'numeric' }, a),
      draw('td', { class: 'numeric' }, b),
      draw(
        'td',
        { class: `numeric ${better === null ? '' : better ? 'better' : 'worse'}` },
        difference + (better === null ? '' : better ? ' better' : ' worse'),
      ),
    ),
  );
  return draw(
    'table',
    {},
    draw('caption', {}, 'Quality, size and time of two runs'),
    draw('thead', {}, draw('tr', {}, draw('td', {}), headOf('A', runs.a), headOf('B', runs.b), head('B against A'))),
    draw('tbody', {}, ...rows),
  );
}

export interface LayerPair {
  name: string;
  block: number | null;
  role: string;
  a: LayerMetrics | null;
  b: LayerMetrics | null;
  /** B over A; null where it cannot be said. */
  ratio: number | null;
}

/** Layers of either run, by the order of B. A layer that one of them leaves as it is has no error there. */
export function layerPairs({ a, b }: Runs, metric: Metric): LayerPair[] {
  const [inA, inB] = [a, b].map(({ layers }) => new Map(layers.map((layer) => [layer.name, layer]))) as [
    Map<string, LayerMetrics>,
    Map<string, LayerMetrics>,
  ];
  const names = [...new Set([...inB.keys(), ...inA.keys()])];
  return names.flatMap((name) => {
    const [x, y] = [inA.get(name) ?? null, inB.get(name) ?? null];
    const known = y ?? x;
    if (known === null) return [];
    const [before, after] = [x, y].map((layer) => (layer === null ? null : metric.valueOf(layer)));
    const ratio = typeof before === 'number' && typeof after === 'number' && before > 0 ? after / before : null;
    return [{ name, block: known.block, role: known.role, a: x, b: y, ratio }];
  });
}

/** ÷12 is twelve times less, ×1.3 a third more. */
export const ratioText = (ratio: number): string =>
  Math.abs(Math.log(ratio)) < 5e-3 ? '=' : ratio < 1 ? `÷${trimmed(1 / ratio)}` : `×${trimmed(ratio)}`;

const trimmed = (value: number): string =>
  value >= 1e4 ? value.toExponential(0).replace('e+', 'e') : String(Number(value.toPrecision(value >= 100 ? 3 : 2)));

/** Equal is the middle of the colours. */
function ratioScale(pairs: readonly LayerPair[]): Scale {
  const widest = pairs.reduce((most, { ratio }) => (ratio !== null && ratio > 0 ? Math.max(most, Math.abs(Math.log10(ratio))) : most), 0.1);
  return linearScale(-widest, widest);
}

/** How much a layer changed; most, where it has another scheme and no error. */
const weightOf = ({ ratio, a, b }: LayerPair): number =>
  ratio !== null && ratio > 0 ? Math.abs(Math.log(ratio)) : a?.scheme === b?.scheme ? 0 : Infinity;

export function drawDifferences(pairs: readonly LayerPair[], metric: Metric, theme: Theme, width: number): Drawing {
  const { rows, columns, cells: placed } = placeCells(pairs, weightOf);
  const schemeOf = (layer: LayerMetrics | null): string => layer?.scheme ?? 'as it was';
  const textOf = ({ b, ratio }: LayerPair): string => (ratio === null ? (b === null ? '16b' : '–') : ratio <= 0 ? '0' : ratioText(ratio));
  const cells = placed.map(({ row, column, layer: pair, n }) => ({
    row,
    column,
    value: pair.ratio === null || pair.ratio <= 0 ? null : Math.log10(pair.ratio),
    text: textOf(pair),
    // What is seen is part of what is said, so that a cell can be named by voice.
    label: `${pair.name}${n === 1 ? '' : `, which changed most of ${n} layers`}: ${textOf(pair)}. ${valueText(metric, pair.a)} as ${schemeOf(pair.a)}, then ${valueText(metric, pair.b)} as ${schemeOf(pair.b)}`,
    key: pair.name,
  }));
  return drawCells({
    title: `${metric.name} of B over that of A, ${counted(pairs.length, 'layer')}. Arrow keys move.`,
    rows,
    columns,
    cells,
    scale: ratioScale(pairs),
    theme,
    width,
  });
}

/** Heatmap and legend, with every pair as numbers. */
export function drawDifferencePicture(pairs: readonly LayerPair[], metric: Metric, theme: Theme, width: number): Drawing {
  const figure = (layer: LayerMetrics | null): number | null => (layer === null ? null : metric.valueOf(layer));
  const table = {
    name: `${metric.name} of each layer, B over A`,
    of: null,
    heads: ['layer', 'block', 'role', 'scheme_a', 'scheme_b', `${metric.key}_a`, `${metric.key}_b`, 'b_over_a'],
    rows: () =>
      pairs.map(({ name, block, role, a, b, ratio }) => [
        name,
        block,
        role,
        a?.scheme ?? null,
        b?.scheme ?? null,
        figure(a),
        figure(b),
        ratio,
      ]),
  };
  return { ...draw('div', {}, drawDifferences(pairs, metric, theme, width), drawRatioLegend(pairs, theme, width)), table };
}

/** What a colour stands for, from the least to the most. */
export const drawRatioLegend = (pairs: readonly LayerPair[], theme: Theme, width: number): Drawing =>
  drawLegend(ratioScale(pairs), theme, (power) => ratioText(10 ** power), Math.min(width, 420));

const valueText = (metric: Metric, layer: LayerMetrics | null): string => {
  const value = layer === null ? null : metric.valueOf(layer);
  return value === null ? 'no error' : metric.format(value);
};

export function drawPairTooltip(pair: LayerPair, metric: Metric): Drawing {
  const line = (name: string, layer: LayerMetrics | null): Drawing =>
    draw(
      'div',
      {},
      `${name}: ${layer === null ? 'as it was' : `${layer.scheme ?? 'unquantized'}, ${bytesText(layer.bytes_after)}, ${metric.name.toLowerCase()} ${valueText(metric, layer)}`}`,
    );
  return draw(
    'div',
    {},
    draw('strong', {}, pair.name),
    line('A', pair.a),
    line('B', pair.b),
    draw('div', { class: 'definition' }, metric.definition),
  );
}

/** The layers that changed most, as a table. */
export function drawPairTable(pairs: readonly LayerPair[], metric: Metric): Drawing {
  const rows = [...pairs]
    .sort((x, y) => weightOf(y) - weightOf(x))
    .slice(0, mostRows)
    .map((pair) =>
      draw(
        'tr',
        {},
        draw('th', { scope: 'row' }, pair.name),
        draw('td', {}, pair.a?.scheme ?? 'as it was'),
        draw('td', {}, pair.b?.scheme ?? 'as it was'),
        draw('td', { class: 'numeric' }, valueText(metric, pair.a)),
        draw('td', { class: 'numeric' }, valueText(metric, pair.b)),
        draw('td', { class: 'numeric' }, pair.ratio === null || pair.ratio <= 0 ? '–' : ratioText(pair.ratio)),
      ),
    );
  const heads = ['Layer', 'Scheme A', 'Scheme B', `${metric.name} A`, `${metric.name} B`, 'B over A'];
  return drawTableOf(
    `${counted(pairs.length, 'layer')} of two runs, by how much changed${pairs.length > mostRows ? `, the first ${mostRows}` : ''}`,
    heads,
    3,
    rows,
  );
}

/** Lines that differ with three around them, as a unified difference. */
export function drawRecipeLines(lines: readonly RecipeLine[]): Drawing {
  if (lines.every(({ kind }) => kind === 'same')) return draw('p', { class: 'empty' }, 'Both runs had the same recipe.');
  const near = lines.map((_, at) => lines.slice(Math.max(0, at - 3), at + 4).some(({ kind }) => kind !== 'same'));
  const sign = { same: ' ', added: '+', removed: '−' } as const;
  return draw(
    'div',
    { class: 'recipe-lines' },
    ...lines.flatMap(({ kind, text }, at) => {
      if (near[at] !== true) return near[at - 1] === true ? [draw('div', { class: 'line gap' }, '⋯')] : [];
      return [draw('div', { class: `line ${kind}` }, `${sign[kind]} ${text}`)];
    }),
  );
}
