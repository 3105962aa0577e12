// What all scaling transforms need of a mapping: that its widths fit, the range of its scales, and what is said of mappings that are passed over.
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem, TransformMetrics } from '../../../schemas/src/generated/report.js';
import { groupBy } from '../../../schemas/src/group-by.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { SpreadRows } from '../calibration/spread-rows.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import type { WeightCopies } from '../checkpoint/weight-copies.js';
import type { Sidecar } from '../report/sidecar.js';
import type { RunContext } from '../run-context.js';
import { copyTo } from '../tensor/copy-to.js';
import type { Tensor } from '../tensor/tensor.js';
import { applyScales } from '../transforms/apply-scales.js';
import type { ScaledMapping } from '../transforms/transform.js';

/** A block while it is transformed. */
export interface BlockInput {
  context: RunContext;
  block: number;
  rows: SpreadRows;
  /** One for each part of the rows. */
  copies: WeightCopies;
  /** Keeps the scales. */
  sidecar: Sidecar;
}

/** What is told of a block's transforms. */
export interface TransformFindings {
  metrics: TransformMetrics[];
  problems: RunProblem[];
}

/** `width`: of what the smooth layer hands on. With grouped-query attention v_proj has fewer rows than o_proj has columns: such a pair cannot be smoothed. */
export function checkWidths(weights: LoadedWeights, { smooth_layer, balance_layers }: ScaledMapping, width: number): void {
  const own = weights.tensor(`${smooth_layer}.weight`).shape[0];
  for (const layer of balance_layers) {
    const columns = weights.tensor(`${layer}.weight`).shape[1];
    if (columns !== width || own !== width)
      throw runFailure.planInvalid(
        `${smooth_layer} has ${own} outputs and ${layer} takes ${columns} inputs: they cannot be smoothed as a pair; remove the mapping`,
      );
  }
}

/** On all devices, from scales on the first. */
export async function applyScalesToAll(mapping: ScaledMapping, s: Tensor, { rows, copies }: BlockInput): Promise<void> {
  for (const [index, device] of rows.devices.entries()) {
    using here = await copyTo(s, device);
    applyScales(mapping, here, copies.on(index));
  }
}

export async function rangeOfScales(s: Tensor): Promise<{ scale_min: number; scale_max: number }> {
  const values = await s.readFloats();
  return values.reduce(
    ({ scale_min, scale_max }, value) => ({ scale_min: Math.min(scale_min, value), scale_max: Math.max(scale_max, value) }),
    { scale_min: Infinity, scale_max: -Infinity },
  );
}

/** One line for each reason: it is the same in all blocks, mostly. */
export function passedOverProblems({ transforms }: QuantizationPlan): RunProblem[] {
  return transforms.flatMap((transform) => {
    if (transform.name !== 'awq') return [];
    const { modifier, recipe_path, mappings, passed_over } = transform;
    return [...groupBy(passed_over, ({ reason }) => reason)].map(([reason, alike]): RunProblem => {
      const layers = alike.map(({ smooth_layer }) => smooth_layer);
      const others = layers.length === 1 ? '' : ` and ${layers.length - 1} more`;
      return {
        code: 'awq-mapping-passed-over',
        severity: 'information',
        message: `${modifier} passes over ${layers.length} of ${mappings.length + passed_over.length} mappings: ${layers[0]}${others} ${layers.length === 1 ? 'is' : 'are'} not scaled, as ${reason}.`,
        layer: layers[0] ?? null,
        recipe_path,
      };
    });
  });
}
