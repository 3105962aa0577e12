// What methods tell of a layer beside its figures: zeros, cuts, corrections, adapters, damping. The one list for the page of a report and for its text.
import type { LayerMetrics } from './generated/report.js';
import { percent, trim } from './number-text.js';

export interface LayerFact {
  key: string;
  name: string;
  definition: string;
  /** What a table sorts by; null where the layer has nothing of it. */
  valueOf(layer: LayerMetrics): number | null;
  textOf(layer: LayerMetrics): string;
}

/** The part of an error that is gone, of what it was. */
const gain = (before: number, after: number): string =>
  before > 0 ? `, ${percent(Math.abs(1 - after / before))} ${after > before ? 'more' : 'less'} error` : '';

const fact = <T>(
  key: string,
  name: string,
  definition: string,
  of: (layer: LayerMetrics) => T | null | undefined,
  value: (found: T) => number,
  text: (found: T, layer: LayerMetrics) => string,
): LayerFact => ({
  key,
  name,
  definition,
  valueOf: (layer) => {
    const found = of(layer);
    return found === null || found === undefined ? null : value(found);
  },
  textOf: (layer) => {
    const found = of(layer);
    return found === null || found === undefined ? '–' : text(found, layer);
  },
});

const listed = (numbers: readonly number[]): string =>
  numbers.length <= 8 ? numbers.join(', ') : `${numbers.slice(0, 8).join(', ')} and ${numbers.length - 8} more`;

export const layerFacts: readonly LayerFact[] = [
  fact(
    'information_bits',
    'Information bits',
    'log₂ of the number of values that a code may have, scales left out; shown where they are fewer than the bits of a code.',
    ({ information_bits, num_bits }) =>
      information_bits === undefined || num_bits === null || num_bits - information_bits < 0.25 ? null : information_bits,
    (bits) => bits,
    (bits) => trim(bits),
  ),
  fact(
    'sparsity',
    'Zeros',
    'Share of zeros in the weight as a reader of the file computes it, what was asked for, and what there was before; rows that are zero throughout.',
    ({ pruning }) => pruning,
    ({ sparsity }) => sparsity,
    ({ sparsity, asked, sparsity_before, pruners, mask_structure, zero_rows, zero_rows_before }) =>
      `${percent(sparsity)} of ${asked === null ? 'those that were there' : `${percent(asked)} asked`}, ${percent(sparsity_before)} before; ${pruners.join(', ')}, ${mask_structure}` +
      (zero_rows > 0 ? `; ${zero_rows} rows of zeros (${zero_rows_before} before)` : ''),
  ),
  fact(
    'clip',
    'AWQ clip',
    'Groups or rows whose weights AWQ’s search cut, of how many, and what that takes from the summed output error of their own columns.',
    ({ clip }) => clip,
    ({ n_clipped, n_cells }) => n_clipped / Math.max(1, n_cells),
    ({ n_clipped, n_cells, loss_before, loss_after }) => `${n_clipped} of ${n_cells} cut${gain(loss_before, loss_after)}`,
  ),
  fact(
    'variance_gain',
    'Variance correction',
    'Smallest and largest factor that the scales of its channels were multiplied by to keep their variance.',
    ({ variance_gain }) => variance_gain,
    ({ min, max }) => Math.max(Math.abs(max - 1), Math.abs(1 - min)),
    ({ min, max }) => `scales × ${trim(min)} … ${trim(max)}`,
  ),
  fact(
    'bias_shift',
    'Bias correction',
    'What the biases of its outputs took: root mean square and largest magnitude over the channels.',
    ({ bias_shift }) => bias_shift,
    ({ rms }) => rms,
    ({ rms, largest }) => `rms ${trim(rms)}, largest ${trim(largest)}`,
  ),
  fact(
    'low_rank',
    'Low-rank adapter',
    'Rank of the residual that the adapter holds, and what it takes from the summed output error of the quantized weights.',
    ({ low_rank }) => low_rank,
    ({ rank }) => rank,
    ({ rank, error_before, error_after }) => `rank ${rank}${gain(error_before, error_after)}`,
  ),
  fact(
    'outlier_columns',
    'Columns kept',
    'Columns that the adapter keeps as they were, largest inputs first.',
    ({ outlier_columns }) => outlier_columns,
    (columns) => columns.length,
    (columns, layer) => `${columns.length} of ${layer.columns}${columns.length > 0 ? `: ${listed(columns)}` : ''}`,
  ),
  fact(
    'dampening_frac',
    'Damping',
    'What was in fact added to the diagonal of the Hessian.',
    ({ dampening_frac }) => dampening_frac,
    (share) => share,
    (share) => `${trim(share)} × mean diag(H)`,
  ),
  fact(
    'dead_columns',
    'Dead columns',
    'Inputs that were zero in all calibration rows; their weights are set to zero.',
    ({ dead_columns }) => (dead_columns === 0 ? null : dead_columns),
    (count) => count,
    (count) => String(count),
  ),
];

/** Facts that at least one layer has; damping that is the same in all of them is what the recipe says. */
export const factsOf = (layers: readonly LayerMetrics[]): LayerFact[] =>
  layerFacts.filter((each) => {
    const values = layers.map((layer) => each.valueOf(layer)).filter((value) => value !== null);
    return values.length > 0 && !(each.key === 'dampening_frac' && new Set(values).size === 1);
  });

/** One line for each fact over all layers: how many have it, its least and largest, and which layer has that. */
export function factLines(layers: readonly LayerMetrics[]): { name: string; text: string }[] {
  return factsOf(layers).map((each) => {
    const having = layers
      .filter((layer) => each.valueOf(layer) !== null)
      .sort((a, b) => (each.valueOf(b) ?? 0) - (each.valueOf(a) ?? 0) || 0);
    const [most] = having;
    const least = having.at(-1);
    const whole = having.length === layers.length ? 'all layers' : `${having.length} of ${layers.length} layers`;
    if (most === undefined || least === undefined || each.valueOf(most) === each.valueOf(least)) {
      const one = most === undefined ? '' : each.textOf(most);
      return { name: each.name, text: having.length === 1 ? `${most?.name}: ${one}` : `${whole}, as ${most?.name}: ${one}` };
    }
    return { name: each.name, text: `${whole}; most in ${most.name}: ${each.textOf(most)}; least in ${least.name}: ${each.textOf(least)}` };
  });
}
