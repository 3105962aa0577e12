// The contract of an observer: it is fed the inputs of a group of linears that share them, batch by batch, and then gives its statistics.
// With several devices each has an observer for its own batches; what they have seen becomes one by a function beside the observer.
import type { Tensor } from '../tensor/tensor.js';

/** Inputs of one batch: documents lie behind each other; document i has the rows offsets[i] … offsets[i + 1]. */
export interface ObservedBatch {
  offsets: readonly number[];
  /** Number of its first document among all calibration rows: their order, whatever device sees them. */
  firstDocument: number;
}

export interface Observer extends Disposable {
  /** `input` F32 [tokens, columns]; valid during the call only. */
  observe(input: Tensor, batch: ObservedBatch): void;
}
