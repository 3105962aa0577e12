// The heatmap of a report: blocks × projections, coloured by one metric.
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { drawCells } from '../plot/cells.js';
import type { Theme } from '../plot/color-ramp.js';
import type { Drawing } from '../plot/element.js';
import { linearScale, logScale } from '../plot/scale.js';
import type { Scale } from '../plot/scale.js';
import { placeLayers } from '../layer-places.js';
import { counted, isBetterHigher } from './metrics.js';
import type { Metric } from './metrics.js';

/** Over all values; a logarithmic scale begins at the smallest positive one. */
export function scaleOf(layers: readonly LayerMetrics[], metric: Metric): Scale {
  const values = layers.map((layer) => metric.valueOf(layer)).filter((value) => value !== null);
  const positive = values.filter((value) => value > 0);
  if (metric.scale === 'log' && positive.length > 0) return logScale(Math.min(...positive), Math.max(...positive));
  return values.length === 0 ? linearScale(0, 1) : linearScale(Math.min(...values), Math.max(...values));
}

export function drawHeatmap(layers: readonly LayerMetrics[], metric: Metric, theme: Theme, width: number): Drawing {
  const { rows, columns, places } = placeLayers(layers);
  const cells = layers.map((layer, i) => {
    const value = metric.valueOf(layer);
    const text = value === null ? '–' : metric.format(value);
    const short = value === null ? '–' : metric.short(value);
    return {
      row: places[i]?.row ?? 0,
      column: places[i]?.column ?? 0,
      value,
      text: short,
      // What is seen is part of what is said, so that a cell can be named by voice.
      label: `${layer.name}: ${short}. ${metric.name} ${text}, ${layer.scheme ?? 'unquantized'}`,
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
  layers.find((layer) => rankOf(layer, layers, metric) === 1);

/** Higher is worse; without a value nothing is. */
function badnessOf(layer: LayerMetrics, metric: Metric): number {
  const value = metric.valueOf(layer);
  return value === null ? -Infinity : isBetterHigher(metric) ? -value : value;
}
