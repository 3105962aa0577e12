// What is known of one layer: the tooltip of its cell and the list beside its histogram.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { layerFacts } from '../../../schemas/src/layer-facts.js';
import { quantizerFacts, type QuantizerFacts } from '../../../schemas/src/modifiers.js';
import { draw } from '../plot/element.js';
import type { Drawing } from '../plot/element.js';
import { rankOf } from './error-heatmap.js';
import { metrics } from './metrics.js';
import type { Metric } from './metrics.js';

/** A report of another version may name a method that this one does not have. */
const methods: Readonly<Record<string, QuantizerFacts | undefined>> = quantizerFacts;

/** `n`: layers that the cell stands for. */
export function drawTooltip(layer: LayerMetrics, layers: readonly LayerMetrics[], metric: Metric, n = 1): Drawing {
  const value = metric.valueOf(layer);
  const rank = rankOf(layer, layers, metric);
  const place = rank === null ? '' : `, number ${rank} of ${layers.length} from the worst`;
  return draw(
    'div',
    {},
    draw('strong', {}, layer.name),
    ...(n > 1 ? [draw('div', {}, `The worst of ${n} layers in this cell`)] : []),
    draw('div', {}, `${layer.rows} × ${layer.columns}, ${layer.scheme ?? 'unquantized'}`),
    draw('div', {}, `${metric.name}: ${value === null ? 'not measured' : metric.format(value)}${place}`),
    draw('div', { class: 'definition' }, metric.definition),
  );
}

export function drawDetails(layer: LayerMetrics, layers: readonly LayerMetrics[], chosen: Metric): Drawing {
  const rank = rankOf(layer, layers, chosen);
  const rows: [string, string, string][] = [
    ['Shape', `${layer.rows} × ${layer.columns}`, 'Outputs × inputs'],
    [
      'Scheme',
      `${layer.scheme ?? 'unquantized'}, ${layer.quantizer === null ? 'as it was' : (methods[layer.quantizer]?.title ?? layer.quantizer)}`,
      'How it is stored, and what chose the integers',
    ],
    ['Size', `${bytesText(layer.bytes_before)} → ${bytesText(layer.bytes_after)}`, 'Bytes before and after'],
    ...metrics.flatMap((metric): [string, string, string][] => {
      const value = metric.valueOf(layer);
      if (value === null) return [];
      const place = metric.key === chosen.key && rank !== null ? ` (${rank} of ${layers.length})` : '';
      return [[metric.name, metric.format(value) + place, metric.definition]];
    }),
    ...layerFacts
      .filter((fact) => fact.valueOf(layer) !== null)
      .map((fact): [string, string, string] => [fact.name, fact.textOf(layer), fact.definition]),
  ];
  return draw('dl', {}, ...rows.flatMap(([name, text, help]) => [draw('dt', { title: help }, name), draw('dd', {}, text)]));
}
