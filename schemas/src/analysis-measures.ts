// What an analysis can measure beside each layer alone: what it needs and takes, from the plan, so that the editor tells it before the worker is asked.
import type { DatasetPlan, LayerPlan, ModelDescription, QuantizationPlan } from './generated/plan.js';

/** What the whole model is measured on; null: the recipe has no such text. */
export const measuredText = ({ evaluate }: Pick<QuantizationPlan, 'evaluate'>): DatasetPlan | null =>
  evaluate?.kl_divergence ?? evaluate?.perplexity ?? null;

/** Why the whole model cannot be measured, as a sentence; null: it can. */
export const textObstacle = (plan: Pick<QuantizationPlan, 'evaluate'>): string | null =>
  measuredText(plan) === null
    ? 'The whole model is measured on the text of evaluate.kl_divergence or evaluate.perplexity, and the recipe has neither: add one.'
    : null;

/** Linears of the blocks, and a head of its own: the weight of a tied one also embeds, which is no linear. */
export const hasGradient = ({ architecture }: ModelDescription, { name, block }: Pick<LayerPlan, 'name' | 'block'>): boolean =>
  block !== null || (name === architecture?.lm_head && !architecture.tie_word_embeddings);

const measured = ({ model, layers }: Pick<QuantizationPlan, 'model' | 'layers'>): LayerPlan[] =>
  layers.filter((layer) => layer.scheme?.weights && hasGradient(model, layer));

/** Of the trace of the Hessian, where nobody says how many. */
export const usualProbes = 8;

/** What one probe takes in passes forwards: two passes, each forwards, forwards again, backwards and along the signs. */
export const passesOfProbe = 8;

const gradientMeasures = { fisher: 'The Fisher information', hessian_trace: 'The trace of the Hessian' } as const;

/** Why the layers of a plan have no gradients for a measure, as a sentence; null: they have. */
export function gradientObstacle(
  plan: Pick<QuantizationPlan, 'model' | 'layers' | 'calibration'>,
  measure: keyof typeof gradientMeasures,
): string | null {
  const what = gradientMeasures[measure];
  if (plan.calibration === null)
    return `${what} needs the gradients of calibration rows, and the recipe has none that a modifier reads: use one that learns from data, such as GPTQModifier, with a calibration.`;
  if (measured(plan).length === 0)
    return `${what} is that of the linears of the blocks and of a head with a weight of its own, and the recipe quantizes none of these: widen its targets.`;
  return null;
}

export interface FisherCost {
  /** Two bytes for each weight, until the analysis ends. */
  gradient_bytes: number;
  /** Inputs of the blocks and gradients between them: in memory where they fit, else on disk too. */
  hidden_bytes: number;
  /** Sums in F32 for the block that has most of them. */
  block_bytes: number;
}

export function fisherCost(plan: Pick<QuantizationPlan, 'model' | 'layers'>, n_tokens: number): FisherCost {
  const { architecture } = plan.model;
  const weights = new Map<number | null, number>();
  for (const { block, rows, columns } of measured(plan)) weights.set(block, (weights.get(block) ?? 0) + rows * columns);
  const n_blocks = architecture?.num_hidden_layers ?? 0;
  const first = Math.min(n_blocks, ...[...weights.keys()].map((block) => block ?? n_blocks));
  return {
    gradient_bytes: 2 * [...weights.values()].reduce((sum, count) => sum + count, 0),
    hidden_bytes: 4 * (n_blocks - first + 2) * n_tokens * (architecture?.hidden_size ?? 0),
    block_bytes: 4 * Math.max(0, ...weights.values()),
  };
}
