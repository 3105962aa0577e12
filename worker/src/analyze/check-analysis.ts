// What an analysis cannot be made of, said before anything begins.
import { gradientObstacle, textObstacle } from '../../../schemas/src/analysis-measures.js';
import type { LayerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { observers } from '../algorithms.js';
import { checkPlanIsSupported } from '../jobs/layer-jobs.js';
import { schemeText } from '../report/layer-metrics.js';

export interface AskedAnalysis {
  plan: QuantizationPlan;
  bits: readonly number[];
  endToEnd: boolean;
  /** Squared gradients of the loss, and what they predict for each candidate. */
  fisher: boolean;
  /** Of the trace of the Hessian of the loss; none where it is left out. */
  hessianProbes?: number;
}

export function checkAnalysis({ plan, bits, endToEnd, fisher, hessianProbes = 0 }: AskedAnalysis, layers: readonly LayerPlan[]): void {
  checkPlanIsSupported(plan, observers);
  const wrong = bits.find((bit) => !Number.isInteger(bit) || bit < 2 || bit > 8);
  if (wrong !== undefined || bits.length === 0)
    throw runFailure.analysisImpossible(`Candidates are whole numbers of bits from 2 to 8, and ${wrong ?? 'none'} was given.`);
  if (layers.length === 0)
    throw runFailure.analysisImpossible('The recipe quantizes no layer, so that there is nothing to analyze: widen its targets.');
  const ofFloats = layers.find(({ scheme }) => scheme?.weights?.type !== 'int');
  if (ofFloats !== undefined)
    throw runFailure.analysisImpossible(
      `An analysis varies the bits of integers, and ${ofFloats.name} has none in ${schemeText(ofFloats)}: use an integer scheme such as W4A16.`,
    );
  const obstacle =
    (endToEnd ? textObstacle(plan) : null) ??
    (fisher ? gradientObstacle(plan, 'fisher') : null) ??
    (hessianProbes > 0 ? gradientObstacle(plan, 'hessian_trace') : null);
  if (obstacle !== null) throw runFailure.analysisImpossible(obstacle);
}
