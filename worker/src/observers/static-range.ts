// Range of the inputs of a linear for static activations, one of three ways of llm-compressor: running extreme, moving average, last row.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { narrow, rangeAccumulate } from '../tensor/operations.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export const staticRangeObservers = ['static_minmax', 'minmax', 'memoryless_minmax'] as const;
type StaticRangeName = (typeof staticRangeObservers)[number];

/** Share of the newest row in the moving average, averaging_constant of llm-compressor. */
const averaging_constant = 0.01;

const observerOf = ({ observer }: QuantizationArgs): StaticRangeName => (observer ?? 'memoryless_minmax') as StaticRangeName;

export class StaticRangeObserver implements Observer {
  /** [2] tensors: one of all rows (static_minmax), or one of each row with its number among all rows. */
  private ranges: { row: number; range: Tensor }[] = [];

  constructor(
    private readonly device: Device,
    private readonly args: QuantizationArgs,
  ) {}

  private get name(): StaticRangeName {
    return observerOf(this.args);
  }

  observe(input: Tensor, { offsets, firstDocument }: ObservedBatch): void {
    if (this.name === 'static_minmax') {
      if (this.ranges.length === 0) this.ranges.push({ row: 0, range: emptyRange(this.device) });
      return rangeAccumulate(this.ranges[0]!.range, input);
    }
    // The two others look at each calibration row by itself.
    const first = this.name === 'memoryless_minmax' ? offsets.length - 2 : 0;
    for (let row = first; row + 1 < offsets.length; row += 1) {
      const begin = offsets[row] ?? 0;
      using tokens = narrow(input, begin, (offsets[row + 1] ?? begin) - begin);
      const range = emptyRange(this.device);
      rangeAccumulate(range, tokens);
      if (this.name === 'memoryless_minmax') this.dropRanges();
      this.ranges.push({ row: firstDocument + row, range });
    }
  }

  /** What was seen, row by row. */
  async seen(): Promise<SeenRange[]> {
    return Promise.all(
      this.ranges.map(async ({ row, range }) => {
        const [min = NaN, max = NaN] = await range.readFloats();
        return { row, min, max };
      }),
    );
  }

  private dropRanges(): void {
    for (const { range } of this.ranges) range.dispose();
    this.ranges = [];
  }

  [Symbol.dispose](): void {
    this.dropRanges();
  }
}

interface SeenRange {
  row: number;
  min: number;
  max: number;
}

/** Smallest and largest value of what the observers of one input have seen on all devices, the same whatever their number; null when that is nothing. */
export async function staticRange(observers: readonly StaticRangeObserver[], args: QuantizationArgs): Promise<[number, number] | null> {
  const seen = (await Promise.all(observers.map((observer) => observer.seen()))).flat().sort((a, b) => a.row - b.row);
  const last = seen.at(-1);
  if (last === undefined) return null;
  switch (observerOf(args)) {
    case 'memoryless_minmax':
      return [last.min, last.max];
    case 'static_minmax':
      return [Math.min(...seen.map(({ min }) => min)), Math.max(...seen.map(({ max }) => max))];
    case 'minmax': {
      const weight = Number(args.observer_kwargs['averaging_constant'] ?? averaging_constant);
      let running: [number, number] | null = null;
      for (const { min, max } of seen)
        running = running === null ? [min, max] : [running[0] * (1 - weight) + min * weight, running[1] * (1 - weight) + max * weight];
      return running;
    }
  }
}

const emptyRange = (device: Device): Tensor => device.fromFloats([2], new Float32Array([Infinity, -Infinity]));
