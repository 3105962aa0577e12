// AWQ's clipping of one linear, where a modifier of the plan asks for it: by the Hessian of its inputs, right before its codes are chosen.
import type { LayerPlan, TransformPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics, RunProblem } from '../../../schemas/src/generated/report.js';
import { transforms } from '../algorithms.js';
import { pseudoQuantized } from '../quantizers/pseudo-quantize.js';
import { layerArgs } from '../quantizers/weight-observer.js';
import type { Tensor } from '../tensor/tensor.js';

export interface LayerClip {
  /** The caller's; null where the weight stays. */
  weight: Tensor | null;
  metrics: Pick<LayerMetrics, 'clip'>;
  problems: RunProblem[];
}

export async function clipLayer(plans: readonly TransformPlan[], layer: LayerPlan, W: Tensor, hessian: Tensor | null): Promise<LayerClip> {
  const plan = plans.filter((one) => one.name === 'awq').findLast(({ clip }) => clip?.layers.includes(layer.name));
  if (!plan?.clip) return { weight: null, metrics: {}, problems: [] };
  if (hessian === null) {
    const message = `${plan.modifier} does not clip the weights of ${layer.name}: no calibration row reached it, so there is no output to keep. Use more varied rows, or leave apply_clip out.`;
    const { recipe_path } = plan;
    return {
      weight: null,
      metrics: {},
      problems: [{ code: 'awq-clip-without-inputs', severity: 'warning', message, layer: layer.name, recipe_path }],
    };
  }
  const { weight, ...clip } = await transforms.awq.clipped(W, hessian, layerArgs(layer), plan.clip, (cut) => pseudoQuantized(layer, cut));
  return { weight, metrics: { clip }, problems: [] };
}
