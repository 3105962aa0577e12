// LQER: what quantization takes from a weight, W − Ŵ ≈ B A of low rank, computed beside the quantized product.
// Zhang et al., arXiv 2402.02446; of all products of the rank the one with the least output error, see worker/native/transforms/low-rank-residual.cc.
//
//   B   [O, r], orthonormal columns       A   [r, I]       y = Ŵ x̃ + B (A x), x as it is and x̃ as it is quantized
//
// Differs from the paper: it scales by the mean magnitudes of the inputs, a diagonal; here the whole Hessian weighs. Its A and B are of 8 bits, here of the model's type.
// Cost of a linear: m n² with weighting: hessian, 32 m n (r + 8).
import { lowRankResidual } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';

export interface ThinProduct {
  /** [rows, rank] and [rank, columns], row by row. */
  B: Float32Array;
  A: Float32Array;
}

export interface Residual extends ThinProduct {
  error_before: number;
  error_after: number;
}

/** `hessian`: null for the least error of the weights. */
export async function residualOf(W: Tensor, What: Tensor, hessian: Tensor | null, rank: number): Promise<Residual> {
  const [left, right, errors] = lowRankResidual(W, What, hessian, { rank });
  using ownLeft = left;
  using ownRight = right;
  using ownErrors = errors;
  const [error_before = 0, error_after = 0] = await ownErrors.readDoubles();
  return { B: await ownLeft.readFloats(), A: await ownRight.readFloats(), error_before, error_after };
}
