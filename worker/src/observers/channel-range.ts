// Smallest and largest value of every input channel over the calibration rows, for SmoothQuant.
import { copyTo } from '../tensor/copy-to.js';
import { columnRangeAccumulate } from '../tensor/operations/observers.js';
import { narrow } from '../tensor/operations/storage.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export class ChannelRangeObserver implements Observer {
  private ranges: Tensor | null = null;

  /** `num_calibration_steps`: the first so many of all rows are looked at; null: all. */
  constructor(
    private readonly device: Device,
    private readonly num_calibration_steps: number | null,
  ) {}

  observe(input: Tensor, { offsets, firstDocument }: ObservedBatch): void {
    const n_wanted = Math.min(offsets.length - 1, (this.num_calibration_steps ?? Infinity) - firstDocument);
    if (n_wanted <= 0) return;
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

/** The ranges of all devices, exactly; on `target` and the caller's. Null when no row was seen. */
export async function mergeRanges(observers: readonly ChannelRangeObserver[], target: Device): Promise<Tensor | null> {
  const [first, ...others] = observers.flatMap((observer) => observer.take() ?? []);
  if (first === undefined) return null;
  try {
    const merged = await copyTo(first, target);
    for (const ranges of others) {
      using here = await copyTo(ranges, target);
      // A row of minima and one of maxima: their own range is the wider one of both.
      columnRangeAccumulate(merged, here);
    }
    return merged;
  } finally {
    for (const ranges of [first, ...others]) ranges.dispose();
  }
}

function emptyRanges(device: Device, columns: number): Tensor {
  const values = new Float32Array(2 * columns).fill(Infinity, 0, columns).fill(-Infinity, columns);
  return device.fromFloats([2, columns], values);
}
