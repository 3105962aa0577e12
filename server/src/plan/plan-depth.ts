// The rows on which the error through depth is measured: few beside what the run does anyway, and the plan says how many.
import { depthOperationsOfToken } from '../../../schemas/src/depth-operations.js';
import type { DatasetPlan, LayerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';

/** Enough that the error of a block is known to a few percent of itself. */
const mostRows = 8;
const rowTokens = 256;
/** Fewer show nothing. */
const leastTokens = 64;
/** Of the multiply-adds of the run. */
const largestShare = 0.03;
/** Seconds on any machine, which no share of a short run has to save. */
const fewOperations = 2 ** 36;

type Texts = Pick<QuantizationPlan, 'calibration' | 'evaluate'>;

/** null where the recipe names no text; `operations`: of the run without it. */
export function depthPlan({ calibration, evaluate }: Texts, layers: readonly LayerPlan[], operations: number): DatasetPlan | null {
  const dataset = calibration ?? evaluate?.kl_divergence ?? evaluate?.perplexity ?? null;
  if (dataset === null) return null;
  const tokens = Math.max(largestShare * operations, fewOperations) / Math.max(1, depthOperationsOfToken(layers));
  const rows = Math.max(1, Math.min(mostRows, Math.floor(tokens / rowTokens)));
  const length = Math.max(leastTokens, Math.min(rowTokens, Math.floor(tokens / rows)));
  return {
    ...dataset,
    num_calibration_samples: Math.min(rows, dataset.num_calibration_samples ?? Infinity),
    max_seq_length: Math.min(length, dataset.max_seq_length ?? Infinity),
  };
}
