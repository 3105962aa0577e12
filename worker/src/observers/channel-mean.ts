// Mean magnitude of every input channel over the calibration rows, for AWQ. Sums are double.
import { columnAbsSumAccumulate } from '../tensor/operations.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export class ChannelMeanObserver implements Observer {
  private sums: Tensor | null = null;
  n_tokens = 0;

  constructor(private readonly device: Device) {}

  observe(input: Tensor, _batch: ObservedBatch): void {
    this.sums ??= this.device.zeros('F64', [input.shape[1] ?? 0]);
    this.n_tokens += input.shape[0] ?? 0;
    columnAbsSumAccumulate(this.sums, input);
  }

  /** F64 [columns], Σ |x| over n_tokens tokens, handed over to the caller; null when nothing was observed. */
  take(): Tensor | null {
    const taken = this.sums;
    this.sums = null;
    return taken;
  }

  [Symbol.dispose](): void {
    this.sums?.dispose();
    this.sums = null;
  }
}
