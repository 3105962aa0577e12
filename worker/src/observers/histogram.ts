// Observers of Bitwright's own that look at how the inputs of a linear are spread, over all calibration rows and in bounded memory: percentile, histogram, entropy.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { histogramAccumulate } from '../tensor/operations/observers.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import { entropyRange, leastErrorRange, mergeHistograms, percentileRange, totalOf, type Histogram } from './histogram-range.js';
import type { Observer } from './observer.js';

export const histogramObservers = ['percentile', 'histogram', 'entropy'] as const;

/** On either side of zero; the width is a power of two, so that 2048 to 4096 of them are in use. */
const n_half = 4096;
/** Values for each of the bins that entropy compares: fewer are noise. */
const valuesPerBin = 10;

export class HistogramObserver implements Observer {
  private counts: Tensor | null = null;
  private facts: Tensor | null = null;

  constructor(private readonly device: Device) {}

  observe(input: Tensor): void {
    this.counts ??= this.device.zeros('I64', [2 * n_half]);
    this.facts ??= this.device.fromBytes('F64', [4], new Uint8Array(Float64Array.of(0, Infinity, -Infinity, 0).buffer));
    histogramAccumulate(this.counts, this.facts, input);
  }

  /** What was seen, or null when that is nothing. */
  async seen(): Promise<Histogram | 'not finite' | null> {
    if (this.counts === null || this.facts === null) return null;
    const [width = NaN, min = NaN, max = NaN, n_odd = NaN] = await this.facts.readDoubles();
    if (n_odd > 0) return 'not finite';
    const bytes = await this.counts.read();
    const counts = Float64Array.from(new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8), Number);
    return { counts, width, min, max };
  }

  [Symbol.dispose](): void {
    this.counts?.dispose();
    this.facts?.dispose();
    this.counts = this.facts = null;
  }
}

/** Smallest and largest value to be held of what the observers of one input have seen on all devices, the same whatever their number; null when that is nothing. */
export async function histogramRange(
  observers: readonly HistogramObserver[],
  { num_bits, symmetric, observer, observer_kwargs, type }: QuantizationArgs,
  layer: string,
): Promise<[number, number] | null> {
  const histogram = await seenByAll(observers);
  if (histogram === null || histogram === 'not finite') return histogram === null ? null : [NaN, NaN];
  if (histogram.width === 0) return [0, 0];
  if (observer === 'percentile') {
    const percentile = Number(observer_kwargs['percentile'] ?? 99.99);
    if (!(percentile > 0 && percentile <= 100))
      throw runFailure.planInvalid(`${layer} has a percentile of ${percentile}, which is not between 0 and 100`);
    return percentileRange(histogram, percentile, symmetric);
  }
  if (type !== 'int') throw runFailure.planInvalid(`${layer} has inputs of type ${type}, and the observer ${observer} is for integers`);
  if (observer === 'histogram') return leastErrorRange(histogram, { num_bits, symmetric });
  if (!symmetric) throw runFailure.planInvalid(`${layer} has asymmetric inputs, and the observer entropy is for symmetric ones`);
  return entropyRange(histogram, num_bits);
}

/** What the rows were too few for; completes "The input range of the layer: …". */
export async function histogramFinding(observers: readonly HistogramObserver[], { observer }: QuantizationArgs): Promise<string | null> {
  const histogram = observer === 'entropy' ? await seenByAll(observers) : null;
  if (histogram === null || histogram === 'not finite') return null;
  const [n, wanted] = [totalOf(histogram), valuesPerBin * 2048];
  return n >= wanted
    ? null
    : `entropy compared distributions of ${n} values in up to 2048 bins, which is noise below ${wanted}; use more calibration rows, or the observer percentile`;
}

async function seenByAll(observers: readonly HistogramObserver[]): Promise<Histogram | 'not finite' | null> {
  const seen = (await Promise.all(observers.map((observer) => observer.seen()))).filter((part) => part !== null);
  return seen.includes('not finite') ? 'not finite' : mergeHistograms(seen.filter((part) => part !== 'not finite'));
}
