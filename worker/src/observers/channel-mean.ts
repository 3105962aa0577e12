// Mean magnitude of every input channel over the calibration rows, for AWQ. Sums are double: of several devices they are added in their order, and differ from
// those of one device by at most 2⁻⁵² for each token, which vanishes in the scales, as those are single precision (but for a value at the border of two).
import { columnAbsSumAccumulate } from '../tensor/operations/transforms.js';
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

/** Sums and tokens of all devices; the sums are on `target` and the caller's. Null when no token was seen. */
export async function mergeMeans(
  observers: readonly ChannelMeanObserver[],
  target: Device,
): Promise<{ sums: Tensor; n_tokens: number } | null> {
  const n_tokens = observers.reduce((sum, observer) => sum + observer.n_tokens, 0);
  const parts = observers.flatMap((observer) => observer.take() ?? []);
  const [first] = parts;
  if (first === undefined) return null;
  if (parts.length === 1 && first.device === target) return { sums: first, n_tokens };
  try {
    const total = new Float64Array(first.shape[0] ?? 0);
    for (const part of parts) (await part.readDoubles()).forEach((sum, column) => (total[column]! += sum));
    return { sums: target.fromBytes('F64', first.shape, new Uint8Array(total.buffer)), n_tokens };
  } finally {
    for (const part of parts) part.dispose();
  }
}
