// What is known of one layer: the tooltip of its cell and the list beside its histogram.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { quantizerFacts, type QuantizerFacts } from '../../../schemas/src/modifiers.js';
import { draw } from '../plot/element.js';
import type { Drawing } from '../plot/element.js';
import { rankOf } from './error-heatmap.js';
import { metrics, trim } from './metrics.js';
import type { Metric } from './metrics.js';

/** A report of another version may name a method that this one does not have. */
const methods: Readonly<Record<string, QuantizerFacts | undefined>> = quantizerFacts;

export function drawTooltip(layer: LayerMetrics, layers: readonly LayerMetrics[], metric: Metric): Drawing {
  const value = metric.valueOf(layer);
  const rank = rankOf(layer, layers, metric);
  const place = rank === null ? '' : `, number ${rank} of ${layers.length} from the worst`;
  return draw(
    'div',
    {},
    draw('strong', {}, layer.name),
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
    ...(layer.dampening_frac === null
      ? []
      : [
          ['Damping', `${trim(layer.dampening_frac)} × mean diag(H)`, 'What was added to the diagonal of the Hessian'] as [
            string,
            string,
            string,
          ],
        ]),
    ...(layer.dead_columns === null || layer.dead_columns === 0
      ? []
      : [
          ['Dead columns', String(layer.dead_columns), 'Inputs that were zero in all calibration rows; their weights are set to zero'] as [
            string,
            string,
            string,
          ],
        ]),
  ];
  return draw('dl', {}, ...rows.flatMap(([name, text, help]) => [draw('dt', { title: help }, name), draw('dd', {}, text)]));
}
