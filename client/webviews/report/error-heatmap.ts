// The heatmap of a report: blocks × projections, coloured by one metric.
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { drawCells } from '../plot/cells.js';
import type { Theme } from '../plot/color-ramp.js';
import type { Drawing } from '../plot/element.js';
import { linearScale, logScale } from '../plot/scale.js';
import type { Scale } from '../plot/scale.js';
import type { Metric } from './metrics.js';

/** The order in which a block computes; roles that are not listed follow by name. */
const roleOrder = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

export function rolesOf(layers: readonly LayerMetrics[]): string[] {
  const place = (role: string): number => (roleOrder.includes(role) ? roleOrder.indexOf(role) : roleOrder.length);
  return [...new Set(layers.map((layer) => layer.role))].sort((a, b) => place(a) - place(b) || a.localeCompare(b));
}

/** Over all values; a logarithmic scale begins at the smallest positive one. */
export function scaleOf(layers: readonly LayerMetrics[], metric: Metric): Scale {
  const values = layers.map((layer) => metric.valueOf(layer)).filter((value) => value !== null);
  const positive = values.filter((value) => value > 0);
  if (metric.scale === 'log' && positive.length > 0) return logScale(Math.min(...positive), Math.max(...positive));
  return values.length === 0 ? linearScale(0, 1) : linearScale(Math.min(...values), Math.max(...values));
}

export function drawHeatmap(layers: readonly LayerMetrics[], metric: Metric, theme: Theme, width: number): Drawing {
  const roles = rolesOf(layers);
  const blocks = [...new Set(layers.map((layer) => layer.block))].sort((a, b) => (a ?? Infinity) - (b ?? Infinity));
  const cells = layers.map((layer) => {
    const value = metric.valueOf(layer);
    const text = value === null ? '–' : metric.format(value);
    return {
      row: blocks.indexOf(layer.block),
      column: roles.indexOf(layer.role),
      value,
      text: value === null ? '–' : metric.short(value),
      label: `${layer.name}: ${metric.name} ${text}, ${layer.scheme ?? 'unquantized'}`,
      key: layer.name,
    };
  });
  return drawCells({
    title: `${metric.name} of ${layers.length} layers, ${blocks.length} blocks by ${roles.length} projections. Arrow keys move, Enter shows a layer.`,
    rows: blocks.map((block) => (block === null ? 'other' : `block ${block}`)),
    columns: roles,
    cells,
    scale: scaleOf(layers, metric),
    theme,
    width,
  });
}

/** 1 is the worst: the largest error, the smallest SQNR. */
export function rankOf(layer: LayerMetrics, layers: readonly LayerMetrics[], metric: Metric): number | null {
  const value = metric.valueOf(layer);
  if (value === null) return null;
  const sign = metric.key === 'weight_sqnr_db' ? -1 : 1;
  return 1 + layers.filter((other) => sign * (metric.valueOf(other) ?? -Infinity * sign) > sign * value).length;
}
