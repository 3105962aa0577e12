// A run that did all it was asked to and left little of the model says so: a checkpoint that loads is not yet one that answers.
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { ErrorDepth, RunProblem, RunReport } from '../../../schemas/src/generated/report.js';
import { divergenceText, firstDivergence } from '../../../schemas/src/first-divergence.js';
import { percent } from '../../../schemas/src/number-text.js';

type Quality = RunReport['quality'];

/** Nats for each token: from here on the perplexity has doubled. */
const collapseLimit = Math.log(2);
/**
 * Share of the squared output that is error in half of the linears. Where it was larger the perplexity had more than doubled (examples' model and stories260K
 * in 16 recipes of 2 to 4 bits: medians of 0.23 and more at 3.2 times and more, 0.16 and less at 2.0 times and less).
 */
const medianErrorLimit = 0.2;

export function collapseProblem(plan: QuantizationPlan, quality: Quality, depth: ErrorDepth | null): RunProblem | null {
  const what = lossText(quality) ?? (measuresLoss(quality) ? null : errorText(depth));
  if (what === null) return null;
  const source = depth === null ? null : (firstDivergence(depth)?.source ?? null);
  const quantizer =
    plan.layers.find(({ name }) => name === source?.name)?.quantizer ?? plan.layers.find((layer) => layer.quantizer !== null)?.quantizer;
  return {
    code: 'quality-collapsed',
    severity: 'warning',
    message: `${what} ${source === null || depth === null ? '' : `${divergenceText(depth)} `}${wayOut(plan)}`,
    layer: source?.name ?? null,
    recipe_path: quantizer?.recipe_path ?? null,
  };
}

/** Where most is lost by zeros, no number of bits brings it back. */
function wayOut({ pruning }: QuantizationPlan): string {
  const bits =
    'ive the layers more bits or smaller groups, solve for the codes with BeaconModifier or GPTQModifier, or leave out the worst layers, which bitwright analyze finds.';
  return pruning.length === 0
    ? `G${bits}`
    : `The layers were pruned before they were quantized: lower sparsity or ask for no mask_structure, and run without the pruning to see what it costs by itself. Else g${bits}`;
}

const measuresLoss = (quality: Quality): boolean =>
  quality !== null && ((quality.before !== null && quality.after !== null) || quality.kl_divergence !== null);

function lossText(quality: Quality): string | null {
  const { before, after, kl_divergence } = quality ?? {};
  const figure = (value: number): string => String(Number(value.toPrecision(4)));
  if (before && after && !(after.nll / after.tokens - before.nll / before.tokens <= collapseLimit))
    return `The perplexity of the written file is ${figure(after.perplexity)} and was ${figure(before.perplexity)} before: more than doubled, so that little is left of what the model could do.`;
  if (kl_divergence && !(kl_divergence.mean_kld <= collapseLimit))
    return `The KL divergence of the written file from the model before is ${figure(kl_divergence.mean_kld)} nats on average, more than ln 2: little is left of what the model would say.`;
  return null;
}

/** For a recipe that measures nothing. */
function errorText(depth: ErrorDepth | null): string | null {
  const errors = (depth?.layers ?? []).map(({ total }) => total ?? Infinity).sort((a, b) => a - b);
  const median = errors[Math.floor(errors.length / 2)];
  if (median === undefined || median <= medianErrorLimit) return null;
  return `In half of the ${errors.length} linears ${Number.isFinite(median) ? `${percent(median)} or more` : 'all'} of the output’s square is error (limit ${percent(medianErrorLimit)}), so that little is left of what the model could do; add evaluate to the recipe to measure it.`;
}
