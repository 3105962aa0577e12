// What a plan costs: stored bytes, bits per weight, disk, operations, and the stage that takes most memory. From shapes alone; formulas beside each figure.
import type {
  ArchitectureFacts,
  LayerPlan,
  ModelDescription,
  PlanEstimate,
  QuantizationScheme,
} from '../../../schemas/src/generated/plan.js';
import { memoryStages, type RowsEstimate } from './estimate-memory.js';
import { sizeOfDtype, storedBytes } from './estimate-size.js';

export interface EstimateInput {
  model: ModelDescription;
  layers: readonly LayerPlan[];
  /** null: no calibration. */
  calibration: RowsEstimate | null;
  evaluation: RowsEstimate | null;
  /** Bytes that the run may use. */
  memoryLimit: number;
}

export function estimatePlan({ model, layers, calibration, evaluation, memoryLimit }: EstimateInput): PlanEstimate {
  const before = model.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const quantized = layers.filter((layer) => layer.scheme?.weights);
  const stored = (layer: LayerPlan): number => storedBytes(layer, layer.scheme as QuantizationScheme, sizeOfDtype(layer.dtype));
  let after = before;
  let bits = 0;
  let weights = 0;
  for (const layer of quantized) {
    const bytes = stored(layer);
    const original = layer.rows * layer.columns * sizeOfDtype(layer.dtype);
    after += bytes - (layer.tied_to === null ? original : 0);
    bits += bytes * 8;
    weights += layer.rows * layer.columns;
  }
  const stages = memoryStages({ model, layers, calibration, evaluation, memoryLimit, storedBytes: stored }, after);
  const peak = stages.reduce((best, stage) => (stage.bytes > best.bytes ? stage : best));
  return {
    weights_bytes_before: before,
    weights_bytes_after: after,
    bits_per_weight: weights === 0 ? 8 * sizeOfDtype(model.dtype) : bits / weights,
    peak_memory_bytes: peak.bytes,
    peak_memory_stage: peak.name,
    disk_bytes: 2 * after,
    operations: operations(model.architecture, layers, calibration, evaluation),
  };
}

function operations(
  architecture: ArchitectureFacts | null,
  layers: readonly LayerPlan[],
  calibration: EstimateInput['calibration'],
  evaluation: EstimateInput['evaluation'],
): number {
  const weights = layers.filter((layer) => layer.block !== null).reduce((sum, layer) => sum + layer.rows * layer.columns, 0);
  const perToken = (tokens: number): number =>
    weights +
    (architecture === null ? 0 : architecture.num_hidden_layers * architecture.num_attention_heads * architecture.head_dim * tokens);
  let total = 0;
  if (calibration !== null) total += 2 * calibration.totalTokens * perToken(calibration.tokens);
  if (evaluation !== null) total += 2 * evaluation.totalTokens * perToken(evaluation.tokens);
  for (const layer of layers)
    if (layer.quantizer?.name === 'gptq')
      total += layer.columns ** 2 * ((calibration === null ? 0 : calibration.totalTokens / 2) + layer.rows + (2 / 3) * layer.columns);
  return total;
}
