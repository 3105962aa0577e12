// The factor that keeps the variance of every output channel, multiplied into the scales of its row: γ = sqrt(E[x²] / E[Q(x)²]).
// Banner et al., "Post-training 4-bit quantization of convolution networks for rapid-deployment", arXiv 1810.05723: the variance part of its bias correction.
//
//   weights   γ² = ‖w‖² / ‖ŵ‖², as in the paper, which takes the mean of a channel out first (see variance-correction.cc)
//   outputs   γ² = w H wᵀ / ŵ H ŵᵀ with the Hessian of the inputs: the variance (about zero) of the output over the calibration rows
//
// Keeping the variance is not the least error: that is γ = w H ŵᵀ / ŵ H ŵᵀ, which Beacon and COMQ find. A row that is all zero before or after keeps its scale.
// Cost of a linear: 2 m n; with outputs 2 m n² more.
import { linear } from '../tensor/operations/forward.js';
import { cast } from '../tensor/operations/storage.js';
import { divideRows, varianceSums } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';

export interface VarianceKept {
  /** The scale in its own dtype; the caller's. */
  scale: Tensor;
  min: number;
  max: number;
  /** Rows whose weights or outputs are all zero, before or after: their scales stay. */
  n_kept: number;
}

/** `hessian`: null for the norm of the weights. */
export async function varianceKept(W: Tensor, What: Tensor, scale: Tensor, hessian: Tensor | null): Promise<VarianceKept> {
  const sums = await (hessian === null ? readSums(W, What, W, What) : withProducts(W, What, hessian));
  const n_rows = sums.length / 2;
  const gains = Float32Array.from({ length: n_rows }, (_, row) => gainOf(sums[2 * row]!, sums[2 * row + 1]!) ?? 1);
  // The operation divides.
  using inverse = W.device.fromFloats(
    [n_rows],
    gains.map((gain) => 1 / gain),
  );
  return {
    scale: divideRows(scale, inverse),
    min: gains.reduce((least, gain) => Math.min(least, gain), Infinity),
    max: gains.reduce((most, gain) => Math.max(most, gain), -Infinity),
    n_kept: gains.reduce((count, _, row) => count + (gainOf(sums[2 * row]!, sums[2 * row + 1]!) === null ? 1 : 0), 0),
  };
}

function gainOf(before: number, after: number): number | null {
  const gain = Math.sqrt(before / after);
  return before > 0 && after > 0 && Number.isFinite(gain) ? gain : null;
}

async function withProducts(W: Tensor, What: Tensor, hessian: Tensor): Promise<Float64Array> {
  using before = times(W, hessian);
  using after = times(What, hessian);
  return readSums(W, What, before, after);
}

/** W H, as H is symmetric. */
function times(W: Tensor, hessian: Tensor): Tensor {
  using single = cast(W, 'F32');
  return linear(single, hessian, null);
}

async function readSums(W: Tensor, What: Tensor, before: Tensor, after: Tensor): Promise<Float64Array> {
  using sums = varianceSums(W, What, before, after);
  return sums.readDoubles();
}
