// The contract of a transform: weights change, the function of the model stays; the quantizers find the new weights easier.
import type { TransformPlan } from '../../../schemas/src/generated/plan.js';
import type { Tensor } from '../tensor/tensor.js';

/** Weights of the block being worked on. `replace` takes the new tensor over and frees the old one. */
export interface TransformedWeights {
  has(tensorName: string): boolean;
  tensor(tensorName: string): Tensor;
  replace(tensorName: string, tensor: Tensor): void;
}

export interface TransformInput {
  plan: TransformPlan;
  mapping: TransformPlan['mappings'][number];
  /** F32 [2, columns]: range of every channel of the smooth layer's output over the calibration rows. */
  ranges: Tensor;
  weights: TransformedWeights;
}

export interface Transform {
  apply(input: TransformInput): void;
}
