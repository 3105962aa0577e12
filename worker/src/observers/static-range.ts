// Range of the inputs of a linear for static activations, as llm-compressor has it: the running extreme of all rows (static_minmax), a moving average over rows
// (minmax, mse), or what the last row alone says (all others). Extremes or a search for the range with the least error, for all columns or group by group (NVFP4).
// llm-compressor searches in the dtype of the model; here activations are float32, and so is the search.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { gridArgs, isTwoLevel } from '../tensor/grid-args.js';
import { rangeAccumulate } from '../tensor/operations/observers.js';
import { activationRanges } from '../tensor/operations/quantizers.js';
import { narrow } from '../tensor/operations/storage.js';
import { rangeSearch, searchedObservers } from '../tensor/search-args.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export const staticRangeObservers = searchedObservers;

/** Share of the newest row in the moving average, averaging_constant of llm-compressor. */
const averaging_constant = 0.01;

const observerOf = ({ observer }: QuantizationArgs): string => observer ?? 'memoryless_minmax';
const isAveraged = (args: QuantizationArgs): boolean => ['minmax', 'mse'].includes(observerOf(args));

export class StaticRangeObserver implements Observer {
  /** Of all rows (static_minmax, [2]) or of one row each with its number among all rows: [2] or [2, groups], minima then maxima. */
  private ranges: { row: number; range: Tensor }[] = [];

  constructor(
    private readonly device: Device,
    private readonly args: QuantizationArgs,
    /** Whose inputs they are, for what is refused. */
    private readonly layer: string,
  ) {}

  observe(input: Tensor, { offsets, firstDocument }: ObservedBatch): void {
    if (observerOf(this.args) === 'static_minmax') {
      if (this.ranges.length === 0) this.ranges.push({ row: 0, range: emptyRange(this.device) });
      return rangeAccumulate(this.ranges[0]!.range, input);
    }
    // The others look at each calibration row by itself.
    for (let row = isAveraged(this.args) ? 0 : offsets.length - 2; row + 1 < offsets.length; row += 1) {
      const begin = offsets[row] ?? 0;
      using tokens = narrow(input, begin, (offsets[row + 1] ?? begin) - begin);
      const range = this.rangeOf(tokens);
      if (!isAveraged(this.args)) this.dropRanges();
      this.ranges.push({ row: firstDocument + row, range });
    }
  }

  private rangeOf(tokens: Tensor): Tensor {
    const search = rangeSearch(this.layer, this.args);
    const byGroups = isTwoLevel(this.args) && observerOf(this.args) === 'minmax';
    if (search.observer !== 'minmax' || byGroups)
      return activationRanges(tokens, { ...gridArgs(this.args), ...search, group_size: this.args.group_size ?? 0 });
    const range = emptyRange(this.device);
    rangeAccumulate(range, tokens);
    return range;
  }

  /** What was seen, row by row. */
  async seen(): Promise<SeenRange[]> {
    return Promise.all(this.ranges.map(async ({ row, range }) => ({ row, range: await range.readFloats() })));
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
  /** Minima of all groups, then maxima. */
  range: Float32Array;
}

/** Smallest and largest value of what the observers of one input have seen on all devices, the same whatever their number; null when that is nothing. */
export async function staticRange(observers: readonly StaticRangeObserver[], args: QuantizationArgs): Promise<[number, number] | null> {
  const seen = (await Promise.all(observers.map((observer) => observer.seen()))).flat().sort((a, b) => a.row - b.row);
  const last = seen.at(-1);
  if (last === undefined) return null;
  if (observerOf(args) === 'static_minmax') return extremes(seen.map(({ range }) => range));
  if (!isAveraged(args)) return extremes([last.range]);
  const newest = Number(args.observer_kwargs['averaging_constant'] ?? averaging_constant);
  let running: Float32Array | null = null;
  for (const { range } of seen)
    running = running === null || newest === 1 ? range : running.map((before, i) => lerp(before, range[i] ?? NaN, newest));
  return extremes(running === null ? [] : [running]);
}

/** Math.min and Math.max keep a NaN, so that it is told. */
function extremes(ranges: readonly Float32Array[]): [number, number] {
  const minima = ranges.flatMap((range) => [...range.subarray(0, range.length / 2)]);
  const maxima = ranges.flatMap((range) => [...range.subarray(range.length / 2)]);
  return [Math.min(...minima), Math.max(...maxima)];
}

const emptyRange = (device: Device): Tensor => device.fromFloats([2], new Float32Array([Infinity, -Infinity]));

/** As llm-compressor's: each product and the sum rounded to float32. */
const lerp = (before: number, now: number, weight: number): number =>
  Math.fround(Math.fround(before * Math.fround(1 - weight)) + Math.fround(now * Math.fround(weight)));
