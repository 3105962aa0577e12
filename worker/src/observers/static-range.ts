// Range of the inputs of a linear for static activations, one of three ways of llm-compressor: running extreme, moving average, last row.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { narrow, rangeAccumulate } from '../tensor/operations.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export const staticRangeObservers = ['static_minmax', 'minmax', 'memoryless_minmax'] as const;
type StaticRangeName = (typeof staticRangeObservers)[number];

/** Share of the newest row in the moving average, averaging_constant of llm-compressor. */
const averaging_constant = 0.01;

export class StaticRangeObserver implements Observer {
  /** One [2] tensor: of all rows (static_minmax) or of one row each, in their order. */
  private ranges: Tensor[] = [];

  constructor(
    private readonly device: Device,
    private readonly args: QuantizationArgs,
  ) {}

  private get name(): StaticRangeName {
    return (this.args.observer ?? 'memoryless_minmax') as StaticRangeName;
  }

  observe(input: Tensor, { offsets }: ObservedBatch): void {
    if (this.name === 'static_minmax') {
      if (this.ranges.length === 0) this.ranges.push(emptyRange(this.device));
      return rangeAccumulate(this.ranges[0]!, input);
    }
    // The two others look at each calibration row by itself.
    const first = this.name === 'memoryless_minmax' ? offsets.length - 2 : 0;
    for (let row = first; row + 1 < offsets.length; row += 1) {
      const begin = offsets[row] ?? 0;
      using tokens = narrow(input, begin, (offsets[row + 1] ?? begin) - begin);
      const range = emptyRange(this.device);
      rangeAccumulate(range, tokens);
      if (this.name === 'memoryless_minmax') this.dropRanges();
      this.ranges.push(range);
    }
  }

  /** Smallest and largest value, or null when nothing was observed. */
  async range(): Promise<[number, number] | null> {
    let running: [number, number] | null = null;
    const weight = Number(this.args.observer_kwargs['averaging_constant'] ?? averaging_constant);
    for (const range of this.ranges) {
      const [min = NaN, max = NaN] = await range.readFloats();
      running = running === null ? [min, max] : [running[0] * (1 - weight) + min * weight, running[1] * (1 - weight) + max * weight];
    }
    return running;
  }

  private dropRanges(): void {
    for (const range of this.ranges) range.dispose();
    this.ranges = [];
  }

  [Symbol.dispose](): void {
    this.dropRanges();
  }
}

const emptyRange = (device: Device): Tensor => device.fromFloats([2], new Float32Array([Infinity, -Infinity]));
