// Bias correction: quantization moves the mean of an output, and the bias takes the shift back.
// Nagel et al., arXiv 1906.04721, section 4.2; with calibration rows in place of the statistics of batch norms, which these models do not have.
//
//   W, Ŵ         weight as it was, and as a reader computes it (native: W, What)
//   E[x], E[x̃]   mean of every input over the calibration rows, as it is and as it is quantized at run time
//   b            b + W E[x] − Ŵ E[x̃], rounded to its dtype
//
// x are the inputs behind the quantized blocks before, with the own block as it was: what these move is not taken back here.
// Cost of a linear: N n for the means, 2 m n for the products.
import { outputShift } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';

export interface BiasCorrected {
  /** [rows], in the dtype that was asked for; the caller's. */
  bias: Tensor;
  /** Of what was added, before it was rounded. */
  rms: number;
  largest: number;
}

/** `old`: null where the linear has no bias, which is then zero. */
export async function correctedBias(
  W: Tensor,
  What: Tensor,
  means: { input: Float64Array; quantized: Float64Array },
  old: Tensor | null,
): Promise<BiasCorrected> {
  const { device } = W;
  const onDevice = (mean: Float64Array): Tensor =>
    device.fromBytes('F64', [mean.length], new Uint8Array(mean.buffer, mean.byteOffset, mean.byteLength));
  using input = onDevice(means.input);
  using quantized = onDevice(means.quantized);
  using moved = outputShift(W, What, input, quantized);
  const shift = await moved.readDoubles();
  const before = old === null ? null : await old.readFloats();
  const values = Float32Array.from(shift, (value, row) => (before?.[row] ?? 0) + value);
  return {
    bias: device.fromFloats([values.length], values),
    rms: Math.sqrt(shift.reduce((sum, value) => sum + value * value, 0) / Math.max(1, shift.length)),
    largest: shift.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
  };
}
