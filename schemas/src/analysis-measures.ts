// What an analysis can measure beside each layer alone: what it needs and takes, from the plan, so that the editor tells it before the worker is asked.
import type { AnalysisNeed, DatasetPlan, LayerPlan, MemoryNeed, ModelDescription, QuantizationPlan } from './generated/plan.js';

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
}

export function fisherCost(plan: Pick<QuantizationPlan, 'model' | 'layers'>, n_tokens: number): FisherCost {
  const { architecture } = plan.model;
  const layers = measured(plan);
  const n_blocks = architecture?.num_hidden_layers ?? 0;
  const first = layers.reduce((least, { block }) => Math.min(least, block ?? n_blocks), n_blocks);
  return {
    gradient_bytes: 2 * layers.reduce((sum, { rows, columns }) => sum + rows * columns, 0),
    hidden_bytes: 4 * (n_blocks - first + 2) * n_tokens * (architecture?.hidden_size ?? 0),
  };
}

/** What those need together that are measured one after the other. */
export function needOf(
  { estimate }: Pick<QuantizationPlan, 'estimate'>,
  measures: readonly AnalysisNeed['measure'][],
): Omit<AnalysisNeed, 'measure'> | null {
  const [first, ...rest] = estimate.analysis.filter(({ measure }) => measures.includes(measure));
  const most = (one: MemoryNeed, other: MemoryNeed): MemoryNeed => {
    const [peak, least] = [
      one.peak_memory_bytes < other.peak_memory_bytes ? other : one,
      one.least_memory_bytes < other.least_memory_bytes ? other : one,
    ];
    const { peak_memory_bytes, peak_memory_stage } = peak;
    const { least_memory_bytes, least_memory_stage } = least;
    return { peak_memory_bytes, peak_memory_stage, least_memory_bytes, least_memory_stage };
  };
  return first
    ? rest.reduce<Omit<AnalysisNeed, 'measure'>>((all, one) => ({ ...most(all, one), cuda: most(all.cuda, one.cuda) }), first)
    : null;
}

/** An analysis that asks for these beside the layers. */
export const analysisNeed = (
  plan: Pick<QuantizationPlan, 'estimate'>,
  asked: { end_to_end: boolean; fisher: boolean; hessian_probes: number },
): ReturnType<typeof needOf> =>
  needOf(plan, [
    'layers',
    ...(asked.end_to_end ? (['end_to_end'] as const) : []),
    ...(asked.fisher ? (['fisher'] as const) : []),
    ...(asked.hessian_probes > 0 ? (['hessian_trace'] as const) : []),
  ]);

/** The plan with the memory of what is asked for in place of that of a run; nothing to measure: as it is. */
export const planWithNeed = (plan: QuantizationPlan, need: ReturnType<typeof needOf>): QuantizationPlan => ({
  ...plan,
  estimate: { ...plan.estimate, ...need },
});

/** What an analysis of quantized inputs is not good for, as a sentence; null: its layers' bits can be mixed. */
export function mixedBitsNote({ layers }: Pick<QuantizationPlan, 'layers'>): string | null {
  const layer = layers.find(({ scheme }) => scheme?.input_activations && scheme.weights);
  return layer === undefined
    ? null
    : `${layer.name} has quantized inputs. The analysis varies the bits of the weights, with inputs as they are, and no mix of bits can be suggested from it: mixed bits are written for weights alone, in a weight-only scheme such as W4A16.`;
}
