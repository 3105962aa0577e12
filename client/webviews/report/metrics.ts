// The figures of a layer that a picture can show: name, definition, unit, and how it is written. The one list for heatmap, table and tooltip.
import type { LayerMetrics } from '../../../schemas/src/generated/report.js';
import { percent, trim } from '../../../schemas/src/number-text.js';

export { trim };

export interface Metric {
  key: 'relative_output_error' | 'weight_error' | 'weight_sqnr_db' | 'clipped_share' | 'bits_per_weight';
  name: string;
  definition: string;
  unit: string;
  scale: 'log' | 'linear';
  valueOf(layer: LayerMetrics): number | null;
  format(value: number): string;
  /** For the inside of a cell: two digits, no unit. */
  short(value: number): string;
}

const twoDigits = (value: number): string =>
  value !== 0 && Math.abs(value) < 1e-2 ? value.toExponential(0) : String(Number(value.toPrecision(2)));

export const metrics: readonly Metric[] = [
  {
    key: 'relative_output_error',
    name: 'Relative output error',
    definition:
      'Squared error of the layer’s output over its squared output on the calibration rows: tr(ΔW H ΔWᵀ) / tr(W H Wᵀ), H = X Xᵀ (the objective of GPTQ, arXiv 2210.17323).',
    unit: '% of the squared output',
    scale: 'log',
    valueOf: (layer) => layer.relative_output_error,
    format: percent,
    short: (value) => twoDigits(value * 100),
  },
  {
    key: 'weight_error',
    name: 'Relative weight error',
    definition: 'Squared error of the weights over their squares: Σ (W − Ŵ)² / Σ W².',
    unit: '% of the squared weights',
    scale: 'log',
    // Weights that did not change have no finite SQNR, and an error of zero.
    valueOf: (layer) => (layer.weight_sqnr_db !== null ? 10 ** (-layer.weight_sqnr_db / 10) : layer.weight_mse === 0 ? 0 : null),
    format: percent,
    short: (value) => twoDigits(value * 100),
  },
  {
    key: 'weight_sqnr_db',
    name: 'Weight SQNR',
    definition: 'Signal to quantization noise ratio of the weights: 10 log₁₀(Σ W² / Σ (W − Ŵ)²). Higher is better.',
    unit: 'dB',
    scale: 'linear',
    valueOf: (layer) => layer.weight_sqnr_db,
    format: (value) => `${value.toFixed(1)} dB`,
    short: (value) => value.toFixed(1),
  },
  {
    key: 'clipped_share',
    name: 'Clipped weights',
    definition: 'Share of the weights that lie outside the values their scale can represent.',
    unit: '% of the weights',
    scale: 'linear',
    valueOf: (layer) => layer.clipped_share,
    format: percent,
    short: (value) => twoDigits(value * 100),
  },
  {
    key: 'bits_per_weight',
    name: 'Bits per weight',
    definition: 'Stored bits over weights, scales and zero points included.',
    unit: 'bits',
    scale: 'linear',
    valueOf: (layer) => layer.bits_per_weight,
    format: (value) => trim(value),
    short: (value) => trim(value),
  },
];

export const isBetterHigher = ({ key }: Metric): boolean => key === 'weight_sqnr_db';

/** Metrics that at least one layer has a value for. */
export const metricsOf = (layers: readonly LayerMetrics[]): Metric[] =>
  metrics.filter((metric) => layers.some((layer) => metric.valueOf(layer) !== null));

export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

export const secondsText = (seconds: number): string =>
  seconds < 90 ? `${trim(seconds)} s` : seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
