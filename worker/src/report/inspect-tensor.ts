// Statistics and histogram of one tensor of a model folder, for looking at a layer without a run.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { TensorStatistics } from '../../../schemas/src/protocol/client-worker.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { histogram, summary } from '../tensor/operations.js';
import type { Tensor } from '../tensor/tensor.js';

const n_bins = 64;

/** The tensor that a name means: itself, or the weight of the module of that name. */
export function inspectedTensor(model: ModelDescription, name: string): string {
  const names = new Set(model.tensors.map((tensor) => tensor.name));
  for (const candidate of [name, `${name}.weight`]) if (names.has(candidate)) return candidate;
  throw runFailure.fileUnreadable(model.dir, `it has no tensor and no module named ${name}`);
}

export async function tensorStatistics(name: string, tensor: Tensor): Promise<TensorStatistics> {
  using numbers = summary(tensor);
  const [count = 0, n_nan = 0, n_inf = 0, min = 0, max = 0, sum = 0, squares = 0, absmax = 0] = await numbers.readDoubles();
  const n_finite = count - n_nan - n_inf;
  const [lowest, highest] = n_finite > 0 ? [min, max] : [0, 0];
  const range = highest > lowest ? { min: lowest, max: highest } : { min: lowest - 0.5, max: lowest + 0.5 };
  using counted = histogram(tensor, { ...range, n_bins });
  const bytes = await counted.read();
  const counts = [...new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8)].slice(0, n_bins).map(Number);
  const mean = n_finite > 0 ? sum / n_finite : 0;
  const variance = n_finite > 0 ? Math.max(0, squares / n_finite - mean * mean) : 0;
  return {
    name,
    dtype: tensor.dtype,
    shape: [...tensor.shape],
    count,
    n_nan,
    n_inf,
    min: lowest,
    max: highest,
    mean,
    std: Math.sqrt(variance),
    absmax,
    histogram: { ...range, counts },
  };
}
