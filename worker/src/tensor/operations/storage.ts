// Native operations of worker/native/core: views, copies and casts.
// T tokens, I in_features (columns), O out_features (rows), V vocabulary, G scale groups per row; activations are F32.
import type { DType } from '../../native-core.js';
import type { Tensor } from '../tensor.js';
import { one } from './results.js';

/** Converts between float types, round to nearest even. */
export const cast = (x: Tensor, dtype: DType): Tensor => one(x.device.enqueue('cast', [x], { dtype }));
/** Same storage, another shape of equal size. */
export const reshape = (x: Tensor, shape: readonly number[]): Tensor => one(x.device.enqueue('reshape', [x], { shape: shape.join(',') }));
/** Rows start … start+length of the leading dimension; shares storage. */
export const narrow = (x: Tensor, start: number, length: number): Tensor => one(x.device.enqueue('narrow', [x], { start, length }));
/** Tensors that differ in their leading dimension alone, at most 8, one below the other: [O₁, …], [O₂, …] → [O₁ + O₂, …]; a copy. */
export function stackRows(tensors: readonly Tensor[]): Tensor {
  const [first] = tensors;
  if (first === undefined) throw new Error('Rows of no tensor were to be stacked.');
  return one(first.device.enqueue('stack_rows', tensors));
}
/** x[:, permutation] for x [O, I], permutation I32 [I]; any dtype. */
export const gatherColumns = (x: Tensor, permutation: Tensor): Tensor => one(x.device.enqueue('gather_columns', [x, permutation]));
