// The contract of an observer: it is fed the inputs of a group of linears that share them, batch by batch, and then gives its statistics.
import type { Tensor } from '../tensor/tensor.js';

/** Inputs of one batch: documents lie behind each other; document i has the rows offsets[i] … offsets[i + 1]. */
export interface ObservedBatch {
  offsets: readonly number[];
}

export interface Observer extends Disposable {
  /** `input` F32 [tokens, columns]; valid during the call only. */
  observe(input: Tensor, batch: ObservedBatch): void;
}
