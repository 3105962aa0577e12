// `canary` of a recipe against its model and its texts: which rows it runs, and behind which blocks it measures.
import type { CanaryPlan } from '../../../schemas/src/generated/plan.js';
import { coerceTo, integerOf, mappingOf } from '../recipe/coerce.js';
import type { Resolution } from './resolution.js';
import type { ResolvedDataset } from './resolve-dataset.js';

export interface ResolvedCanary {
  /** As asked for. */
  num_samples: number;
  every: number | null;
  /** The text whose first rows it runs; null: the recipe has none. */
  text: ResolvedDataset | null;
  /** null while something is missing that it needs. */
  plan: CanaryPlan | null;
}

/** A run measures this often, where the recipe does not say it. */
const usualMeasures = 8;

/** null where the recipe has none. */
export function canaryOf({ document, model, evaluations, calibration }: Resolution): ResolvedCanary | null {
  const fields = mappingOf(document.value['canary']);
  const max_mean_kld = coerceTo('number', fields['max_mean_kld']);
  if (typeof max_mean_kld !== 'number') return null;
  const num_samples = integerOf(fields['num_samples'], 4);
  const every = (coerceTo('integer', fields['every']) as number | undefined) ?? null;
  const textOfKey = (key: string): ResolvedDataset | undefined => evaluations.find(({ path }) => path[1] === key);
  const text = textOfKey('kl_divergence') ?? textOfKey('perplexity') ?? calibration;
  const n_blocks = model?.architecture?.num_hidden_layers;
  if (text === null || n_blocks === undefined) return { num_samples, every, text, plan: null };
  const dataset = {
    ...text.plan,
    num_calibration_samples: Math.min(num_samples, text.plan.num_calibration_samples ?? Infinity),
    max_seq_length: Math.min(integerOf(fields['max_seq_length'], 256), text.plan.max_seq_length ?? Infinity),
  };
  return { num_samples, every, text, plan: { max_mean_kld, every: every ?? Math.ceil(n_blocks / usualMeasures), dataset } };
}

/** Passes of its rows through the whole model, blocks counted by their number: the model as it is, the blocks as written, and what is left of it for each measure. */
export function canaryPasses({ every }: CanaryPlan, n_blocks: number): number {
  const n_measures = Math.floor(n_blocks / every);
  let n_passed = n_measures === 0 ? 0 : n_blocks + n_measures * every;
  for (let measure = 1; measure <= n_measures; measure += 1) n_passed += n_blocks - measure * every;
  return n_passed / n_blocks;
}
