// From a sensitivity analysis and a budget to the bits of every layer: the groups that move together, the exact choice, what it loses, and the closed
// form beside it. Pure: a page that holds the analysis solves again without asking anyone.
import { AllocationError, closedFormBits, ParetoCurve, type Candidate, type CandidateGroup } from './allocate-bits.js';
import type { CandidateSensitivity, LayerSensitivity, SensitivityAnalysis } from './generated/sensitivity.js';
import { groupBy } from './group-by.js';
import { trim } from './number-text.js';

/** Losses that add up over layers to a first approximation; what tells most comes first. */
export const lossMetrics = ['mean_kld', 'fisher_loss', 'hessian_loss', 'relative_output_error', 'weight_squared_error'] as const;
export type LossMetric = (typeof lossMetrics)[number];

export const lossTitles: Record<LossMetric, string> = {
  mean_kld: 'sum of the KL divergences of each layer alone, nats',
  fisher_loss:
    'sum of the losses that the Fisher information estimates for each layer alone, nats per token (their order holds, not their size)',
  hessian_loss:
    'sum of the losses that the trace of the Hessian predicts for each layer alone, nats per token (their order holds, not their size)',
  relative_output_error: 'sum of the relative output errors of each layer alone',
  weight_squared_error: 'sum of the squared errors of the weights',
};

/** Those that every candidate has. */
export const possibleLosses = ({ layers }: SensitivityAnalysis): LossMetric[] =>
  lossMetrics.filter((metric) =>
    layers.every((layer) => layer.candidates.every((candidate) => typeof lossOf(layer, candidate, metric) === 'number')),
  );

export const bestMetric = (analysis: SensitivityAnalysis): LossMetric => possibleLosses(analysis)[0] ?? 'weight_squared_error';

/** A text: why there is none. */
function lossOf(layer: LayerSensitivity, candidate: CandidateSensitivity, metric: LossMetric): number | string {
  const value = metric === 'weight_squared_error' ? candidate.weight_mse * layer.rows * layer.columns : candidate[metric];
  if (value === null || value === undefined) return `${layer.name} with ${candidate.num_bits} bits has no ${metric}`;
  // Where the trace is negative the worst candidate would be the best.
  return metric === 'hessian_loss' && value < 0
    ? `${layer.name} has a trace of the Hessian of ${traceText(layer)}, by which errors are a gain`
    : value;
}

/** With its standard error. */
export const traceText = ({ hessian_trace: trace }: LayerSensitivity): string =>
  trace ? `${trim(trace.value)} ± ${trace.standard_error === null ? '?' : trim(trace.standard_error)}` : '–';

export interface BitGroup extends CandidateGroup {
  layers: readonly LayerSensitivity[];
  /** Of its candidates, in order. */
  bits: readonly number[];
}

/** Layers that take one scheme together, with the candidates that all of them have. */
export function bitGroups(analysis: SensitivityAnalysis, metric: LossMetric): BitGroup[] {
  const { layers, bits } = analysis;
  const lossToAdd = (layer: LayerSensitivity, candidate: CandidateSensitivity): number => {
    const loss = lossOf(layer, candidate, metric);
    if (typeof loss === 'number') return loss;
    throw new AllocationError(`${loss}; losses that every layer has: ${possibleLosses(analysis).join(', ')}`);
  };
  return [...groupBy(layers, ({ group }) => group)].map(([name, group]) => {
    const shared = bits.filter((bit) => group.every((layer) => layer.candidates.some(({ num_bits }) => num_bits === bit)));
    const candidates = shared.map((bit): Candidate => {
      const parts = group.map((layer) => ({ layer, candidate: layer.candidates.find(({ num_bits }) => num_bits === bit)! }));
      return {
        scheme: `${bit} bit`,
        bytes: parts.reduce((sum, { candidate }) => sum + candidate.bytes, 0),
        loss: parts.reduce((sum, { layer, candidate }) => sum + lossToAdd(layer, candidate), 0),
      };
    });
    return { name, layers: group, bits: shared, candidates };
  });
}

export interface Suggestion {
  metric: LossMetric;
  budgetBytes: number;
  bytes: number;
  bitsPerWeight: number;
  loss: number;
  groups: { name: string; layers: string[]; num_bits: number; closedFormBits: number | null }[];
  /** Every layer alike, for comparison. */
  uniform: { num_bits: number; bitsPerWeight: number; loss: number }[];
  curve: { bitsPerWeight: number; loss: number }[];
}

export const weightCount = (layers: readonly LayerSensitivity[]): number =>
  layers.reduce((sum, { rows, columns }) => sum + rows * columns, 0);

/** Throws an AllocationError in words. */
export function suggestBits(analysis: SensitivityAnalysis, budgetBytes: number, metric = bestMetric(analysis)): Suggestion {
  const groups = bitGroups(analysis, metric);
  const n_weights = weightCount(analysis.layers);
  const perWeight = (bytes: number): number => (8 * bytes) / n_weights;
  const curve = new ParetoCurve(groups);
  const best = curve.best(budgetBytes);
  if (best === null)
    throw new AllocationError(
      `the smallest schemes take ${perWeight(curve.leastBytes).toFixed(3)} bits per weight (${curve.leastBytes} bytes), more than the budget of ${perWeight(budgetBytes).toFixed(3)} (${Math.floor(budgetBytes)} bytes); raise the budget, or analyze with smaller bits`,
    );
  const closed = closedForm(groups, perWeight(best.bytes));
  return {
    metric,
    budgetBytes,
    bytes: best.bytes,
    bitsPerWeight: perWeight(best.bytes),
    loss: best.loss,
    groups: groups.map(({ name, layers, bits }, at) => ({
      name,
      layers: layers.map((layer) => layer.name),
      num_bits: bits[best.choices[at] ?? 0] ?? 0,
      closedFormBits: closed?.[at] ?? null,
    })),
    uniform: analysis.bits.flatMap((bit) => {
      const alike = groups.map(({ bits, candidates }) => candidates[bits.indexOf(bit)]);
      if (!alike.every((candidate) => candidate !== undefined)) return [];
      const bytes = alike.reduce((sum, candidate) => sum + candidate.bytes, 0);
      return [{ num_bits: bit, bitsPerWeight: perWeight(bytes), loss: alike.reduce((sum, candidate) => sum + candidate.loss, 0) }];
    }),
    curve: curve.points(16).map(({ bytes, loss }) => ({ bitsPerWeight: perWeight(bytes), loss })),
  };
}

/** α of a layer is the mean diagonal of its H, σ² the variance of its weights, both averaged over the weights of a group; null without calibration. */
function closedForm(groups: readonly BitGroup[], bitsPerWeight: number): number[] | null {
  if (groups.some(({ layers }) => layers.some(({ hessian_mean_diagonal }) => hessian_mean_diagonal === null))) return null;
  return closedFormBits(
    groups.map(({ layers }) => {
      const n_weights = weightCount(layers);
      const total = layers.reduce(
        (sum, layer) => sum + (layer.hessian_mean_diagonal ?? 0) * layer.weight_variance * layer.rows * layer.columns,
        0,
      );
      return { n_weights, alphaVariance: total / n_weights };
    }),
    bitsPerWeight,
  );
}

/** `4.25bpw`, `300MB` (powers of ten), `300MiB` or bytes; null for what is none of them. */
export function budgetBytes(text: string, n_weights: number): number | null {
  const found = /^\s*([0-9]+(?:\.[0-9]+)?)\s*(bpw|B|[kMGT]i?B)?\s*$/.exec(text);
  if (found === null) return null;
  const value = Number(found[1]);
  const unit = found[2] ?? 'B';
  if (unit === 'bpw') return (value * n_weights) / 8;
  const power = ['k', 'M', 'G', 'T'].indexOf(unit.charAt(0)) + 1;
  return value * (unit.includes('i') ? 1024 : 1000) ** power;
}
