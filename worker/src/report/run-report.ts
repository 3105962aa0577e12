// report.json: the numbers of a run, from what the run collected. Written before the last event, whatever happened.
import path from 'node:path';
import type { CanaryPlan, ModelTensor, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type {
  CanaryFigure,
  CanaryResult,
  ErrorDepth,
  LayerMetrics,
  RotationMetrics,
  RunProblem,
  RunReport,
  TransformMetrics,
} from '../../../schemas/src/generated/report.js';
import type { JudgedGate } from '../../../schemas/src/quality-gates.js';

export interface RunFacts {
  plan: QuantizationPlan;
  run_id: string;
  bitwright_version: string;
  outcome: RunReport['outcome'];
  startedAt: Date;
  finishedAt: Date;
  device: RunReport['device'];
  /** Folder of the checkpoint, null when it was not written. */
  output_dir: string | null;
  /** Null when nothing was written. */
  weightsBytesAfter: number | null;
  quality: RunReport['quality'];
  /** Null where it was not measured. */
  depth: ErrorDepth | null;
  measured_peak_bytes: number;
  peakStage: string;
  places: Pick<RunReport['memory'], 'devices' | 'process_peak_bytes' | 'pinned_peak_bytes' | 'activations'>;
  /** Empty where the recipe has none, or the run did not get to its end. */
  gates: readonly JudgedGate[];
  /** Empty where the plan has no canary, or it has not measured yet. */
  canary: CanaryFigure[];
  stages: RunReport['stages'];
  rotations: RotationMetrics[];
  transforms: TransformMetrics[];
  layers: LayerMetrics[];
  problems: RunProblem[];
}

export const reportFile = (runDir: string): string => path.join(runDir, 'report.json');

/** What was not written is estimated. */
export function sizeOf({ plan, weightsBytesAfter, layers }: Pick<RunFacts, 'plan' | 'weightsBytesAfter' | 'layers'>): RunReport['size'] {
  const n_weights = layers.reduce((sum, layer) => sum + layer.rows * layer.columns, 0);
  const n_bits = layers.reduce((sum, layer) => sum + layer.bytes_after * 8, 0);
  return {
    weights_bytes_before: plan.model.tensors.reduce((sum: number, tensor: ModelTensor) => sum + tensor.bytes, 0),
    weights_bytes_after: weightsBytesAfter ?? plan.estimate.weights_bytes_after,
    bits_per_weight: n_weights > 0 ? n_bits / n_weights : plan.estimate.bits_per_weight,
  };
}

export function makeReport(facts: RunFacts): RunReport {
  const { plan, startedAt, finishedAt, layers, gates } = facts;
  return {
    report_version: 1,
    run_id: facts.run_id,
    outcome: facts.outcome,
    started_at: startedAt.toISOString(),
    finished_at: finishedAt.toISOString(),
    seconds: (finishedAt.getTime() - startedAt.getTime()) / 1000,
    bitwright_version: facts.bitwright_version,
    device: facts.device,
    model: { dir: plan.model.dir, architecture_name: plan.model.architecture_name, dtype: plan.model.dtype },
    recipe: plan.recipe,
    output_dir: facts.output_dir,
    size: sizeOf(facts),
    quality: facts.quality,
    memory: {
      estimated_peak_bytes: (facts.device.kind === 'cuda' ? plan.estimate.cuda : plan.estimate).peak_memory_bytes,
      measured_peak_bytes: facts.measured_peak_bytes,
      stage: facts.peakStage,
      ...facts.places,
    },
    ...(gates.length > 0 ? { gates: gates.map(({ facts: { key }, limit, value, holds }) => ({ gate: key, limit, value, holds })) } : {}),
    ...(plan.canary === undefined ? {} : { canary: canaryOf(plan.canary, facts.canary) }),
    stages: facts.stages,
    ...(facts.rotations.length > 0 ? { rotations: facts.rotations } : {}),
    transforms: facts.transforms,
    layers,
    ...(facts.depth === null ? {} : { depth: facts.depth }),
    problems: facts.problems,
  };
}

const canaryOf = ({ max_mean_kld, every, dataset }: CanaryPlan, figures: CanaryFigure[]): CanaryResult => ({
  max_mean_kld,
  every,
  dataset: dataset.dataset,
  figures,
});
