// The adapter of one quantized layer: outlier columns, then a low-rank residual of what they leave, as two matrices of one rank for all layers.
import type { LayerPlan, TransformPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics, RunProblem } from '../../../schemas/src/generated/report.js';
import { adapterRank, isAdapter, type AdapterPlan } from '../../../schemas/src/modifiers.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { transforms } from '../algorithms.js';
import type { SpreadStatistics } from '../calibration/spread-statistics.js';
import type { NamedTensor } from '../checkpoint/formats/format.js';
import { cast } from '../tensor/operations/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import type { ThinProduct } from '../transforms/low-rank-residual.js';

export interface LayerAdapter {
  tensors: NamedTensor[];
  metrics: Pick<LayerMetrics, 'low_rank' | 'outlier_columns'>;
  problems: RunProblem[];
}

/** `What`: the weight that a reader of the file computes. */
export async function adapterOf(
  plans: readonly TransformPlan[],
  layer: LayerPlan,
  W: Tensor,
  What: Tensor,
  hessian: Tensor | null,
  statistics: SpreadStatistics | null,
): Promise<LayerAdapter> {
  const made: LayerAdapter = { tensors: [], metrics: {}, problems: [] };
  const own = plans.filter(isAdapter).filter(({ layers }) => layers.includes(layer.name));
  if (own.length === 0) return made;
  const tell = (code: string, severity: RunProblem['severity'], message: string, plan: AdapterPlan): void =>
    void made.problems.push({ code, severity, message, layer: layer.name, recipe_path: plan.recipe_path });
  const parts: (ThinProduct & { rank: number })[] = [];
  let left: Tensor | null = null;
  try {
    for (const plan of [...own].sort((a, b) => (a.name < b.name ? 1 : -1))) {
      if (plan.name === 'outlier-split') {
        const largest = (await statistics?.inputLargest(layer.name)) ?? null;
        if (largest === null) {
          tell(
            'outlier-split-without-inputs',
            'warning',
            `${plan.modifier} keeps no column of ${layer.name}: no calibration row reached it. Use more varied rows, or add it to ignore.`,
            plan,
          );
          continue;
        }
        const odd = largest.findIndex((value) => !Number.isFinite(value));
        if (odd >= 0)
          throw runFailure.activationNotFinite(layer.name, `the largest magnitude of its input channel ${odd} is ${largest[odd]}`);
        const { columns, n_found, ...product } = await transforms['outlier-split'].outliersOf(W, What, largest, plan);
        parts.push({ ...product, rank: plan.max_columns });
        made.metrics.outlier_columns = columns;
        if (n_found > columns.length)
          tell(
            'outlier-columns-left',
            'warning',
            `${n_found} of ${layer.columns} input channels of ${layer.name} exceed ${plan.threshold}, and ${plan.modifier} keeps the columns of the ${columns.length} largest. Raise max_columns (an adapter of vLLM may have rank 512), or the threshold.`,
            plan,
          );
        left?.dispose();
        left = own.some(({ name }) => name === 'low-rank-residual') ? await without(columns, W, What) : null;
        continue;
      }
      const { error_before, error_after, ...product } = await transforms['low-rank-residual'].residualOf(
        left ?? W,
        What,
        plan.weighting === 'hessian' ? hessian : null,
        plan.rank,
      );
      if (plan.weighting === 'hessian' && hessian === null)
        tell(
          'low-rank-without-inputs',
          'warning',
          `${plan.modifier} keeps the residual of the weights of ${layer.name} and not of its outputs: no calibration row reached it. Use more varied rows, or add it to ignore.`,
          plan,
        );
      parts.push({ ...product, rank: plan.rank });
      made.metrics.low_rank = { rank: plan.rank, error_before, error_after };
    }
  } finally {
    left?.dispose();
  }
  made.tensors = storedAs(layer, W, parts, adapterRank(plans));
  return made;
}

/** W with what a quantizer took from some columns given up: there is nothing left of them to keep. */
async function without(columns: readonly number[], W: Tensor, What: Tensor): Promise<Tensor> {
  const [values, quantized] = [await W.readFloats(), await What.readFloats()];
  const n = W.shape[1] ?? 0;
  for (const column of columns) for (let i = column; i < values.length; i += n) values[i] = quantized[i]!;
  return W.device.fromFloats(W.shape, values);
}

/** The parts side by side, zeros in the rest of the rank, in the type of the weight. */
function storedAs(layer: LayerPlan, W: Tensor, parts: readonly (ThinProduct & { rank: number })[], rank: number): NamedTensor[] {
  const [m = 0, n = 0] = W.shape;
  const [A, B] = [new Float32Array(rank * n), new Float32Array(m * rank)];
  let first = 0;
  for (const part of parts) {
    A.set(part.A, first * n);
    for (let row = 0; row < m; row += 1) B.set(part.B.subarray(row * part.rank, (row + 1) * part.rank), row * rank + first);
    first += part.rank;
  }
  const stored = (shape: number[], values: Float32Array): Tensor => {
    using single = W.device.fromFloats(shape, values);
    return cast(single, W.dtype);
  };
  return [
    { name: `${layer.name}.lora_A.weight`, tensor: stored([rank, n], A) },
    { name: `${layer.name}.lora_B.weight`, tensor: stored([m, rank], B) },
  ];
}
