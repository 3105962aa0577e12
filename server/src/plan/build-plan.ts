// A resolution without errors → the plan: nothing left to decide.
import { createHash } from 'node:crypto';
import type { QuantizationPlan, TransformPlan } from '../../../schemas/src/generated/plan.js';
import { bytesOf, coerceTo, mappingOf, numberOf, textOf } from '../recipe/coerce.js';
import { estimatePlan } from './estimate-size.js';
import type { EstimateInput } from './estimate-size.js';
import { needsCalibration } from './resolution.js';
import type { ResolvedDataset, Resolution, ResolvedTransform } from './resolution.js';

/** null while the model or the output folder is not known. */
export function buildPlan(resolution: Resolution): QuantizationPlan | null {
  const { document, context, model, layers, outputDir } = resolution;
  if (model === null || outputDir === null) return null;
  const { value, text } = document;
  const calibration = needsCalibration(resolution) === null ? null : (resolution.calibration?.plan ?? null);
  const device = context.overrides?.device ?? textOf(value['device'], 'auto');
  const threads = coerceTo('integer', value['threads']);
  return {
    plan_version: 1,
    recipe: { path: context.recipePath, text, sha256: createHash('sha256').update(text).digest('hex') },
    model,
    layers: [...layers],
    transforms: resolution.transforms.map(transformPlan),
    calibration,
    evaluate: resolution.evaluation === null ? null : { perplexity: resolution.evaluation.plan },
    output: { dir: outputDir, max_shard_bytes: bytesOf(mappingOf(value['output'])['max_shard_size']) ?? 20_000_000_000 },
    device: device === 'cpu' || device === 'cuda' ? device : 'auto',
    seed: calibration?.seed ?? 42,
    threads: typeof threads === 'number' ? threads : null,
    max_memory_bytes: bytesOf(value['max_memory']),
    estimate: estimatePlan(estimateInput(resolution)),
  };
}

/** Rows are counted from what the recipe says; a file's real number of rows is seen by the worker. */
export function estimateInput(resolution: Resolution): EstimateInput {
  const { model, layers } = resolution;
  if (model === null) throw new Error('An estimate needs a model.');
  const context = model.architecture?.max_position_embeddings ?? 2048;
  const rows = (dataset: ResolvedDataset | null): EstimateInput['calibration'] =>
    dataset === null
      ? null
      : // A text of four bytes per token is the least that a row can bring.
        {
          samples: Math.min(dataset.plan.num_calibration_samples ?? Infinity, Math.max(1, Math.ceil(dataset.plan.bytes / 64))),
          tokens: Math.min(dataset.plan.max_seq_length ?? context, context),
        };
  return {
    model,
    layers,
    calibration: needsCalibration(resolution) === null ? null : rows(resolution.calibration),
    evaluation: rows(resolution.evaluation),
  };
}

function transformPlan({ modifier, mappings }: ResolvedTransform): TransformPlan {
  const { body } = modifier;
  const steps = coerceTo('integer', body['num_calibration_steps']);
  return {
    name: 'smoothquant',
    modifier: modifier.name,
    recipe_path: [...modifier.path],
    algorithm: body['algorithm'] === 'log_equalization' ? 'log_equalization' : 'smoothquant',
    smoothing_strength: numberOf(body['smoothing_strength'], 0.5),
    num_calibration_steps: typeof steps === 'number' ? steps : null,
    mappings: mappings.map(({ smooth_layer, balance_layers }) => ({ smooth_layer, balance_layers: [...balance_layers] })),
  };
}
