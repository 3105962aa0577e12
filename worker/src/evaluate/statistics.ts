// Means, standard errors and percentiles of what evaluation counts, as the tools compute them that readers compare with.
import type { Percentiles } from '../../../schemas/src/generated/report.js';

export interface Mean {
  mean: number;
  /** Standard deviation over √n, the deviation with n − 1; 0 of a single value, which shows none. */
  stderr: number;
}

export function meanOf(values: Float64Array): Mean {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, stderr: n > 1 ? Math.sqrt(squares / (n - 1) / n) : 0 };
}

/** Between the neighbours in order at share · (n − 1), linearly, as llama.cpp's perplexity tool. */
export function percentilesOf(values: Float64Array): Percentiles {
  const sorted = values.toSorted();
  const at = (share: number): number => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const [low = NaN, high = low] = [sorted[below], sorted[below + 1]];
    return low + (place - below) * (high - low);
  };
  return {
    min: at(0),
    p0_1: at(0.001),
    p1: at(0.01),
    p5: at(0.05),
    p10: at(0.1),
    p25: at(0.25),
    median: at(0.5),
    p75: at(0.75),
    p90: at(0.9),
    p95: at(0.95),
    p99: at(0.99),
    p99_9: at(0.999),
    max: at(1),
  };
}
