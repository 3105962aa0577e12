// Which cells the heatmap shows, in which order, and how strong each is: a pure function of the analysis and of what the user has chosen.
import type { LayerSensitivity, SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { groupBy } from '../../../schemas/src/group-by.js';
import { placeLayers } from '../layer-places.js';
import { linearScale, logScale, type Scale } from '../plot/scale.js';
import { figuresOf, ranksOf, type Figure } from './figures.js';

export interface Choice {
  figure: string;
  /** One number of bits, or all of them side by side. */
  bits: number | 'all';
  scale: 'log' | 'linear';
  /** Which cells one scale of colours is for. */
  over: 'all' | 'row' | 'column';
  order: 'depth' | 'worst' | 'mean';
  filter: string;
  regularExpression: boolean;
}

export interface HeatCell {
  layer: LayerSensitivity;
  bits: number;
  row: number;
  column: number;
  value: number | null;
  /** 1 is the strongest colour: the worst. */
  share: number | null;
}

export interface HeatView {
  figure: Figure;
  rows: readonly string[];
  /** `bits` where several numbers of bits stand side by side. */
  columns: readonly { label: string; bits: number | null }[];
  cells: readonly HeatCell[];
  /** By row · columns + column. */
  at: ReadonlyMap<number, HeatCell>;
  /** Of the whole; null where each row or column has its own. */
  scale: Scale | null;
  /** Of all layers, the hidden ones too. */
  ranks: ReadonlyMap<number, ReadonlyMap<string, number>>;
  layers: readonly LayerSensitivity[];
  total: number;
}

/** Why a filter cannot be used, as a sentence; null where it can. */
export function filterError({ filter, regularExpression }: Pick<Choice, 'filter' | 'regularExpression'>): string | null {
  if (!regularExpression) return null;
  try {
    new RegExp(filter, 'u');
    return null;
  } catch (error) {
    return `This is no regular expression: ${error instanceof Error ? error.message : String(error)}.`;
  }
}

function filtered<L extends { name: string }>(layers: readonly L[], choice: Pick<Choice, 'filter' | 'regularExpression'>): L[] {
  const { filter, regularExpression } = choice;
  if (filter === '' || filterError(choice) !== null) return [...layers];
  if (regularExpression) {
    const pattern = new RegExp(filter, 'u');
    return layers.filter(({ name }) => pattern.test(name));
  }
  const text = filter.toLowerCase();
  return layers.filter(({ name }) => name.toLowerCase().includes(text));
}

export function heatView(analysis: SensitivityAnalysis, choice: Choice): HeatView | null {
  const figures = figuresOf(analysis);
  const figure = figures.find(({ key }) => key === choice.figure) ?? figures[0];
  if (figure === undefined) return null;
  const allBits = figure.ofBits && choice.bits === 'all';
  const bitsShown = allBits ? analysis.bits : [bitsOf(analysis, choice)];
  const layers = filtered(analysis.layers, choice);
  const placed = placeLayers(layers);
  const order = rowOrder(placed.rows, layers, placed.places, figure, choice, bitsShown);
  const columns = placed.columns.flatMap((label) => bitsShown.map((bits) => ({ label, bits: allBits ? bits : null })));
  const bare = layers.flatMap((layer, index) =>
    bitsShown.map((bits, part) => ({
      layer,
      bits,
      row: order.get(placed.places[index]?.row ?? 0) ?? 0,
      column: (placed.places[index]?.column ?? 0) * bitsShown.length + part,
      value: figure.valueOf(layer, bits),
    })),
  );
  const scaleOf = scales(bare, figure, choice);
  const cells = bare.map((cell): HeatCell => ({ ...cell, share: cell.value === null ? null : scaleOf(cell).share(cell.value) }));
  return {
    figure,
    rows: [...order].sort((a, b) => a[1] - b[1]).map(([row]) => placed.rows[row] ?? ''),
    columns,
    cells,
    at: new Map(cells.map((cell) => [cell.row * columns.length + cell.column, cell])),
    scale: choice.over === 'all' ? scaleOf(cells[0] ?? { row: 0, column: 0 }) : null,
    ranks: new Map(bitsShown.map((bits) => [bits, ranksOf(analysis.layers, figure, bits)])),
    layers,
    total: analysis.layers.length,
  };
}

/** The number of bits that single figures speak of: the chosen one, else the middle of the measured. */
export const bitsOf = ({ bits }: SensitivityAnalysis, { bits: chosen }: Pick<Choice, 'bits'>): number =>
  typeof chosen === 'number' && bits.includes(chosen) ? chosen : (bits.find((bit) => bit === 4) ?? bits[bits.length >> 1] ?? 0);

/** Where each row of the model's order is shown. */
function rowOrder(
  rows: readonly string[],
  layers: readonly LayerSensitivity[],
  places: readonly { row: number }[],
  figure: Figure,
  { order }: Choice,
  bitsShown: readonly number[],
): Map<number, number> {
  const indices = rows.map((_, row) => row);
  if (order !== 'depth') {
    const sign = figure.worse === 'more' ? 1 : -1;
    const values = rows.map((): number[] => []);
    layers.forEach((layer, index) => {
      for (const bits of bitsShown) {
        const value = figure.valueOf(layer, bits);
        if (value !== null) values[places[index]?.row ?? 0]?.push(sign * value);
      }
    });
    const badness = values.map((row) =>
      row.length === 0 ? -Infinity : order === 'worst' ? Math.max(...row) : row.reduce((sum, value) => sum + value, 0) / row.length,
    );
    indices.sort((a, b) => (badness[b] ?? 0) - (badness[a] ?? 0) || a - b);
  }
  return new Map(indices.map((row, at) => [row, at]));
}

interface Placed {
  row: number;
  column: number;
}

/** One scale for all, or one for each row or column; stronger is worse. */
function scales(cells: readonly (Placed & { value: number | null })[], figure: Figure, { scale, over }: Choice): (cell: Placed) => Scale {
  const keyOf = (cell: Placed): number => (over === 'row' ? cell.row : over === 'column' ? cell.column : 0);
  const groups = groupBy(cells, keyOf);
  const valuesOf = (key: number): number[] => (groups.get(key) ?? []).flatMap(({ value }) => value ?? []);
  const made = new Map<number, Scale>();
  return (cell) => {
    const key = keyOf(cell);
    const known = made.get(key) ?? scaleOf(valuesOf(key), scale, figure.worse);
    made.set(key, known);
    return known;
  };
}

function scaleOf(values: readonly number[], kind: 'log' | 'linear', worse: Figure['worse']): Scale {
  let [least, most, leastPositive] = [Infinity, -Infinity, Infinity];
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
    if (value > 0) leastPositive = Math.min(leastPositive, value);
  }
  const scale =
    kind === 'log' && leastPositive < Infinity
      ? logScale(leastPositive, most)
      : values.length === 0
        ? linearScale(0, 1)
        : linearScale(least, most);
  return worse === 'more' ? scale : { ...scale, share: (value) => 1 - scale.share(value) };
}
