// The contract of a transform: weights change, the function of the model stays; the quantizers find the new weights easier.
import type { Tensor } from '../tensor/tensor.js';

/** Weights of the block being worked on. `replace` takes the new tensor over and frees the old one. */
export interface TransformedWeights {
  has(tensorName: string): boolean;
  tensor(tensorName: string): Tensor;
  replace(tensorName: string, tensor: Tensor): void;
}

/** A layer whose outputs are divided, and the layers that take them, whose columns are multiplied. */
export interface ScaledMapping {
  smooth_layer: string;
  balance_layers: readonly string[];
}
