// What a plan costs: stored bytes, bits per weight, memory of each stage, disk, operations. From shapes alone; formulas beside each figure.
import type {
  ArchitectureFacts,
  LayerPlan,
  ModelDescription,
  PlanEstimate,
  QuantizationScheme,
} from '../../../schemas/src/generated/plan.js';

/** Bytes of a layer as compressed-tensors stores it, scales and zero points included. */
export function storedBytes(layer: { rows: number; columns: number }, scheme: QuantizationScheme, dtypeSize: number): number {
  const { weights } = scheme;
  const { rows, columns } = layer;
  if (weights === null) return rows * columns * dtypeSize;
  const n_groups = weights.strategy === 'group' && weights.group_size !== null ? Math.ceil(columns / weights.group_size) : 1;
  const n_scales = weights.strategy === 'tensor' ? 1 : rows * n_groups;
  const packed = scheme.format === 'pack-quantized';
  const codes = packed
    ? rows * Math.ceil((columns * weights.num_bits) / 32) * 4 + 16
    : rows * columns * Math.max(1, weights.num_bits > 8 ? weights.num_bits / 8 : 1);
  const zeroPoints = weights.symmetric
    ? 0
    : packed && weights.strategy !== 'tensor'
      ? Math.ceil((rows * weights.num_bits) / 32) * n_groups * 4
      : n_scales;
  const table = weights.actorder === 'group' ? columns * 4 : 0;
  return codes + n_scales * dtypeSize + zeroPoints + table;
}

export const sizeOfDtype = (dtype: string): number => ({ F64: 8, F32: 4, F16: 2, BF16: 2 })[dtype] ?? 1;

export interface EstimateInput {
  model: ModelDescription;
  layers: readonly LayerPlan[];
  /** Rows and tokens per row at most; null: no calibration. */
  calibration: { samples: number; tokens: number } | null;
  evaluation: { samples: number; tokens: number } | null;
}

export function estimatePlan({ model, layers, calibration, evaluation }: EstimateInput): PlanEstimate {
  const before = model.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const quantized = layers.filter((layer) => layer.scheme?.weights);
  let after = before;
  let bits = 0;
  let weights = 0;
  for (const layer of quantized) {
    const stored = storedBytes(layer, layer.scheme as QuantizationScheme, sizeOfDtype(layer.dtype));
    const original = layer.rows * layer.columns * sizeOfDtype(layer.dtype);
    after += stored - (layer.tied_to === null ? original : 0);
    bits += stored * 8;
    weights += layer.rows * layer.columns;
  }
  const stages = memoryStages(model, layers, calibration, evaluation);
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

function memoryStages(
  model: ModelDescription,
  layers: readonly LayerPlan[],
  calibration: EstimateInput['calibration'],
  evaluation: EstimateInput['evaluation'],
): { name: string; bytes: number }[] {
  const largest = layers.reduce((max, layer) => Math.max(max, layer.rows * layer.columns), 0);
  // One tensor in its own type, in F32, its codes and its dequantized copy.
  const stages = [{ name: 'quantizing the largest tensor', bytes: largest * 13 }];
  const { architecture } = model;
  if (architecture === null) return stages;
  const block = layers.filter((layer) => layer.block === 0).reduce((sum, layer) => sum + layer.rows * layer.columns, 0) * 4;
  const wide = Math.max(architecture.intermediate_size * 3, architecture.hidden_size * 4);
  if (calibration !== null) {
    const hidden = calibration.samples * calibration.tokens * architecture.hidden_size * 4;
    const inputs = new Set(layers.filter((layer) => layer.block === 0 && layer.quantizer?.name === 'gptq').map((layer) => layer.columns));
    const hessians = layers.some((layer) => layer.quantizer?.name === 'gptq') ? [...inputs].reduce((sum, n) => sum + n * n * 4, 0) * 2 : 0;
    const working = calibration.tokens * wide * 4;
    // Activations between blocks are kept for every row; the solver holds three copies of its Hessian and of its weight.
    const solver = [...inputs].reduce((max, n) => Math.max(max, n * n * 8), 0) + largest * 12;
    stages.push({ name: 'calibrating one block', bytes: hidden + block * 2 + hessians + Math.max(working, solver) });
  }
  if (evaluation !== null)
    stages.push({
      name: 'evaluating',
      bytes: block * 2 + architecture.vocab_size * architecture.hidden_size * 4 + 4096 * (wide + architecture.hidden_size * 2) * 4,
    });
  return stages;
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
  if (calibration !== null) total += 2 * calibration.samples * calibration.tokens * perToken(calibration.tokens);
  if (evaluation !== null) total += 2 * evaluation.samples * evaluation.tokens * perToken(evaluation.tokens);
  for (const layer of layers)
    if (layer.quantizer?.name === 'gptq')
      total +=
        layer.columns ** 2 *
        ((calibration === null ? 0 : (calibration.samples * calibration.tokens) / 2) + layer.rows + (2 / 3) * layer.columns);
  return total;
}
