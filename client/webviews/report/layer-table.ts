// The layers of a report as a table that can be sorted: the alternative to the pictures.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { factsOf } from '../../../schemas/src/layer-facts.js';
import { draw } from '../plot/element.js';
import type { Drawing, PictureTable } from '../plot/element.js';
import { counted, isBetterHigher, metricsOf } from './metrics.js';
import type { Metric } from './metrics.js';

export interface TableColumn {
  key: string;
  title: string;
  help: string;
  numeric: boolean;
  valueOf(layer: LayerMetrics): number | string | null;
  textOf(layer: LayerMetrics): string;
}

export interface TableOrder {
  key: string;
  descending: boolean;
}

export function tableColumns(layers: readonly LayerMetrics[]): TableColumn[] {
  return [
    { key: 'name', title: 'Layer', help: 'Module name', numeric: false, valueOf: (layer) => layer.name, textOf: (layer) => layer.name },
    {
      key: 'scheme',
      title: 'Scheme',
      help: 'How the layer is stored',
      numeric: false,
      valueOf: (layer) => layer.scheme,
      textOf: (layer) => layer.scheme ?? 'unquantized',
    },
    {
      key: 'shape',
      title: 'Shape',
      help: 'Outputs × inputs',
      numeric: true,
      valueOf: (layer) => layer.rows * layer.columns,
      textOf: (layer) => `${layer.rows} × ${layer.columns}`,
    },
    ...metricsOf(layers).map((metric) => ({
      key: metric.key,
      title: metric.name,
      help: metric.definition,
      numeric: true,
      valueOf: metric.valueOf,
      textOf: (layer: LayerMetrics) => {
        const value = metric.valueOf(layer);
        return value === null ? '–' : metric.format(value);
      },
    })),
    ...factsOf(layers).map(({ key, name, definition, valueOf, textOf }) => ({
      key,
      title: name,
      help: definition,
      numeric: true,
      valueOf,
      textOf,
    })),
    {
      key: 'bytes_after',
      title: 'Size',
      help: 'Stored bytes',
      numeric: true,
      valueOf: (layer) => layer.bytes_after,
      textOf: (layer) => bytesText(layer.bytes_after),
    },
  ];
}

/** The order asked for where the table has its column; else the worst layers by the metric come first. */
export function orderOr(order: TableOrder, layers: readonly LayerMetrics[], metric: Metric | undefined): TableOrder {
  if (metric === undefined || tableColumns(layers).some(({ key }) => key === order.key)) return order;
  return { key: metric.key, descending: !isBetterHigher(metric) };
}

const byText = new Intl.Collator(undefined, { numeric: true });

export function sortLayers(layers: readonly LayerMetrics[], columns: readonly TableColumn[], order: TableOrder): LayerMetrics[] {
  const column = columns.find(({ key }) => key === order.key);
  if (column === undefined) return [...layers];
  const sign = order.descending ? -1 : 1;
  return [...layers].sort((a, b) => {
    const [x, y] = [column.valueOf(a), column.valueOf(b)];
    // Without a value comes last in either direction.
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
    return sign * (typeof x === 'number' && typeof y === 'number' ? x - y : byText.compare(String(x), String(y)));
  });
}

/** Every figure as it was measured, without the rounding of its text. */
export const layerTable = (name: string, layers: readonly LayerMetrics[]): PictureTable => {
  const columns = tableColumns(layers);
  const shape: readonly (keyof LayerMetrics & ('block' | 'role' | 'rows' | 'columns'))[] = ['block', 'role', 'rows', 'columns'];
  const figures = columns.filter(({ key }) => key !== 'shape');
  return {
    name,
    of: null,
    heads: [...figures.map(({ key }) => (key === 'name' ? 'layer' : key)), ...shape],
    rows: () => layers.map((layer) => [...figures.map(({ valueOf }) => valueOf(layer)), ...shape.map((key) => layer[key])]),
  };
};

/** The first `most` in their order. */
export function drawTable(layers: readonly LayerMetrics[], order: TableOrder, selected: string | null, most = Infinity): Drawing {
  const columns = tableColumns(layers);
  const heads = columns.map(({ key, title, help, numeric }) => {
    const direction = order.key === key ? (order.descending ? 'descending' : 'ascending') : 'none';
    const arrow = direction === 'none' ? '' : order.descending ? ' ↓' : ' ↑';
    return draw(
      'th',
      { scope: 'col', 'aria-sort': direction, class: numeric ? 'numeric' : '' },
      draw('button', { type: 'button', 'data-sort': key, title: help }, title + arrow),
    );
  });
  const rows = sortLayers(layers, columns, order)
    .slice(0, most)
    .map((layer) =>
      draw(
        'tr',
        { 'data-key': layer.name, class: layer.name === selected ? 'selected' : '' },
        ...columns.map((column, index) =>
          index === 0
            ? draw('th', { scope: 'row' }, draw('button', { type: 'button', 'data-layer': layer.name }, layer.name))
            : draw('td', { class: column.numeric ? 'numeric' : '' }, column.textOf(layer)),
        ),
      ),
    );
  return draw(
    'table',
    {},
    draw('caption', {}, `${counted(layers.length, 'quantized layer')}${layers.length > most ? `, the first ${most} in this order` : ''}`),
    draw('thead', {}, draw('tr', {}, ...heads)),
    draw('tbody', {}, ...rows),
  );
}
