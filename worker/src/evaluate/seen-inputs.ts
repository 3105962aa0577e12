// What linears take on the compared rows: in the model before, and as the written one uses it; counts in equal bins, and how far channels stand out.
import type { InputPicture } from '../../../schemas/src/generated/report.js';
import { HistogramObserver } from '../observers/histogram.js';
import type { Histogram } from '../observers/histogram-range.js';
import { magnitudesOf, magnitudeStrip, outlierChannels } from '../report/outlier-channels.js';
import type { Sidecar } from '../report/sidecar.js';
import { columnRangeAccumulate } from '../tensor/operations/observers.js';
import type { Device, Tensor } from '../tensor/tensor.js';

const n_bins = 128;

interface Seen {
  before: HistogramObserver;
  after: HistogramObserver;
  ranges: Tensor;
}

export class SeenInputs implements Disposable {
  private readonly seen = new Map<string, Seen>();

  constructor(private readonly device: Device) {}

  /** Inputs of the model before and of the written one, both as they are. */
  observe(module: string, x: Tensor, xHat: Tensor, quantize: ((input: Tensor) => Tensor) | null): void {
    const { before, after, ranges } = this.of(module, x.shape[1] ?? 0);
    before.observe(x);
    columnRangeAccumulate(ranges, x);
    using quantized = quantize?.(xHat);
    after.observe(quantized ?? xHat);
  }

  /** null: nothing was seen, or what is not finite. */
  async picture(module: string, sidecar: Sidecar): Promise<InputPicture | null> {
    const seen = this.seen.get(module);
    if (seen === undefined) return null;
    const [before, after] = [await seen.before.seen(), await seen.after.seen()];
    if (before === null || after === null || before === 'not finite' || after === 'not finite') return null;
    const magnitudes = magnitudesOf(await seen.ranges.readFloats());
    const counted = (histogram: Histogram) => {
      const { counts, range } = rebinned(histogram);
      return sidecar.counts(counts, range);
    };
    return {
      before: counted(before),
      after: counted(after),
      column_magnitudes: sidecar.floats(magnitudeStrip(magnitudes)),
      outliers: outlierChannels('column', magnitudes),
    };
  }

  private of(module: string, columns: number): Seen {
    const known = this.seen.get(module);
    if (known !== undefined) return known;
    const begins = new Float32Array(2 * columns).fill(Infinity, 0, columns).fill(-Infinity, columns);
    const made = {
      before: new HistogramObserver(this.device),
      after: new HistogramObserver(this.device),
      ranges: this.device.fromFloats([2, columns], begins),
    };
    this.seen.set(module, made);
    return made;
  }

  [Symbol.dispose](): void {
    for (const { before, after, ranges } of this.seen.values()) {
      before[Symbol.dispose]();
      after[Symbol.dispose]();
      ranges.dispose();
    }
  }
}

/** Fewer bins between the extremes: a bin of the observer goes where its middle lies. */
export function rebinned({ counts, width, min, max }: Histogram): { counts: Uint32Array; range: { min: number; max: number } } {
  const range = max > min ? { min, max } : { min: min - 0.5, max: max + 0.5 };
  const own = new Uint32Array(n_bins);
  const half = counts.length / 2;
  for (const [i, count] of counts.entries()) {
    if (count === 0) continue;
    const share = ((i - half + 0.5) * width - range.min) / (range.max - range.min);
    own[Math.min(n_bins - 1, Math.max(0, Math.floor(share * n_bins)))]! += count;
  }
  return { counts: own, range };
}
