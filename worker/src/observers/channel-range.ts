// Smallest and largest value of every input channel over the calibration rows, for SmoothQuant.
import { columnRangeAccumulate, narrow } from '../tensor/operations.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export class ChannelRangeObserver implements Observer {
  private ranges: Tensor | null = null;
  private n_documents = 0;

  /** `num_calibration_steps`: rows looked at, at most; null: all. */
  constructor(
    private readonly device: Device,
    private readonly num_calibration_steps: number | null,
  ) {}

  observe(input: Tensor, { offsets }: ObservedBatch): void {
    const n_wanted = Math.min(offsets.length - 1, (this.num_calibration_steps ?? Infinity) - this.n_documents);
    if (n_wanted <= 0) return;
    this.n_documents += n_wanted;
    this.ranges ??= emptyRanges(this.device, input.shape[1] ?? 0);
    using rows = narrow(input, 0, offsets[n_wanted] ?? 0);
    columnRangeAccumulate(this.ranges, rows);
  }

  /** F32 [2, columns] (minima, maxima), handed over to the caller; null when nothing was observed. */
  take(): Tensor | null {
    const taken = this.ranges;
    this.ranges = null;
    return taken;
  }

  [Symbol.dispose](): void {
    this.ranges?.dispose();
    this.ranges = null;
  }
}

function emptyRanges(device: Device, columns: number): Tensor {
  const values = new Float32Array(2 * columns).fill(Infinity, 0, columns).fill(-Infinity, columns);
  return device.fromFloats([2, columns], values);
}
