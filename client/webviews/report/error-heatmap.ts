// The heatmap of a report: blocks × projections, coloured by one metric.
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { drawCells } from '../plot/cells.js';
import type { Theme } from '../plot/color-ramp.js';
import type { Drawing } from '../plot/element.js';
import { linearScale, logScale } from '../plot/scale.js';
import type { Scale } from '../plot/scale.js';
import { cellName, placeCells, type PlacedCells } from '../layer-places.js';
import { counted, isBetterHigher } from './metrics.js';
import type { Metric } from './metrics.js';

/** Over all values; a logarithmic scale begins at the smallest positive one. */
export function scaleOf(layers: readonly LayerMetrics[], metric: Metric): Scale {
  const values = layers.map((layer) => metric.valueOf(layer)).filter((value) => value !== null);
  const positive = values.filter((value) => value > 0);
  if (metric.scale === 'log' && positive.length > 0) return logScale(leastOf(positive), mostOf(positive));
  return values.length === 0 ? linearScale(0, 1) : linearScale(leastOf(values), mostOf(values));
}

/** A call has no room for as many arguments as a model may have layers. */
const leastOf = (values: readonly number[]): number => values.reduce((least, value) => Math.min(least, value));
const mostOf = (values: readonly number[]): number => values.reduce((most, value) => Math.max(most, value));

export const heatCells = (layers: readonly LayerMetrics[], metric: Metric): PlacedCells<LayerMetrics> =>
  placeCells(layers, (layer) => badnessOf(layer, metric));

export function drawHeatmap(
  layers: readonly LayerMetrics[],
  metric: Metric,
  theme: Theme,
  width: number,
  heat = heatCells(layers, metric),
): Drawing {
  const { rows, columns, cells: placed } = heat;
  const cells = placed.map((cell) => {
    const { layer, row, column } = cell;
    const value = metric.valueOf(layer);
    const text = value === null ? '–' : metric.format(value);
    const short = value === null ? '–' : metric.short(value);
    return {
      row,
      column,
      value,
      text: short,
      // What is seen is part of what is said, so that a cell can be named by voice.
      label: `${cellName(cell)}: ${short}. ${metric.name} ${text}, ${layer.scheme ?? 'unquantized'}`,
      key: layer.name,
    };
  });
  return drawCells({
    title: `${metric.name} of ${counted(layers.length, 'layer')}, ${counted(rows.length, 'row')} by ${counted(columns.length, 'column')}. Arrow keys move, Enter shows a layer.`,
    rows,
    columns,
    cells,
    scale: scaleOf(layers, metric),
    theme,
    width,
  });
}

/** 1 is the worst: the largest error, the smallest SQNR. */
export function rankOf(layer: LayerMetrics, layers: readonly LayerMetrics[], metric: Metric): number | null {
  if (metric.valueOf(layer) === null) return null;
  return 1 + layers.filter((other) => badnessOf(other, metric) > badnessOf(layer, metric)).length;
}

/** The layer of rank 1; of equal ones the first. */
export const worstOf = (layers: readonly LayerMetrics[], metric: Metric): LayerMetrics | undefined =>
  layers
    .filter((layer) => metric.valueOf(layer) !== null)
    .reduce<LayerMetrics | undefined>(
      (worst, layer) => (worst && badnessOf(worst, metric) >= badnessOf(layer, metric) ? worst : layer),
      undefined,
    );

/** Higher is worse; without a value nothing is. */
export function badnessOf(layer: LayerMetrics, metric: Metric): number {
  const value = metric.valueOf(layer);
  return value === null ? -Infinity : isBetterHigher(metric) ? -value : value;
}
