// Power sums of every input channel, for kurtosis and outliers. Sums are double.
import { columnMomentsAccumulate } from '../tensor/operations/observers.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export interface OutlierStatistics {
  /** Of all inputs together: E[(x − μ)⁴] / E[(x − μ)²]²; 3 for a normal distribution. null of a constant input. */
  kurtosis: number | null;
  /** Largest magnitude of a channel over the median of the channels' largest magnitudes; null where that is 0. */
  max_over_median: number | null;
  /** Largest magnitude of every channel. */
  absmax: Float32Array;
  /** Mean over the channels of 2/n Σ x², n the calibration rows: the mean of diag(H). */
  meanDiagonal: number;
  /** Σ x² of every channel, over so many tokens of so many rows. */
  importance: { sums: Float32Array; rows: number; tokens: number };
}

export class ColumnMomentsObserver implements Observer {
  private moments: Tensor | null = null;
  private n_tokens = 0;
  private n_documents = 0;

  constructor(private readonly device: Device) {}

  observe(input: Tensor, { offsets }: ObservedBatch): void {
    this.moments ??= this.device.zeros('F64', [5, input.shape[1] ?? 0]);
    this.n_tokens += input.shape[0] ?? 0;
    this.n_documents += offsets.length - 1;
    columnMomentsAccumulate(this.moments, input);
  }

  /** null when nothing was observed. */
  async statistics(): Promise<OutlierStatistics | null> {
    if (this.moments === null) return null;
    return outliersOf(await this.moments.readDoubles(), this.n_tokens, this.n_documents);
  }

  [Symbol.dispose](): void {
    this.moments?.dispose();
    this.moments = null;
  }
}

/** `moments` [5, columns], as the operation leaves them. */
export function outliersOf(moments: Float64Array, n_tokens: number, n_documents: number): OutlierStatistics {
  const columns = moments.length / 5;
  const n = n_tokens * columns;
  const raw = [0, 1, 2, 3].map(
    (power) => moments.subarray(power * columns, (power + 1) * columns).reduce((sum, value) => sum + value, 0) / n,
  );
  const [mean = 0, second = 0, third = 0, fourth = 0] = raw;
  const variance = second - mean * mean;
  const central = fourth - 4 * mean * third + 6 * mean * mean * second - 3 * mean ** 4;
  const absmax = Float32Array.from(moments.subarray(4 * columns));
  const sorted = absmax.toSorted();
  const middle = (columns - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
  return {
    kurtosis: variance > 1e-12 * second ? central / (variance * variance) : null,
    max_over_median: median > 0 ? (sorted.at(-1) ?? 0) / median : null,
    absmax,
    meanDiagonal: (2 * second * n_tokens) / n_documents,
    importance: { sums: Float32Array.from(moments.subarray(columns, 2 * columns)), rows: n_documents, tokens: n_tokens },
  };
}
