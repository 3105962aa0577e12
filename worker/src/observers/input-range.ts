// Which observer finds the range of static inputs, by its name in the recipe, and what the observers of one input on several devices say together.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import type { Device } from '../tensor/tensor.js';
import { histogramFinding, HistogramObserver, histogramObservers, histogramRange } from './histogram.js';
import { staticRange, StaticRangeObserver } from './static-range.js';

export type RangeObserver = StaticRangeObserver | HistogramObserver;

/** `layer` is whose inputs they are, for what is refused. */
export function newRangeObserver(device: Device, args: QuantizationArgs, layer: string): RangeObserver {
  const isOfHistogram = histogramObservers.some((name) => name === args.observer);
  return isOfHistogram ? new HistogramObserver(device) : new StaticRangeObserver(device, args, layer);
}

/** Smallest and largest value to be held; NaN where an input was not finite, null when nothing was observed. */
export async function inputRange(
  observers: readonly RangeObserver[],
  args: QuantizationArgs,
  layer: string,
): Promise<[number, number] | null> {
  const ofHistogram = observers.filter((observer) => observer instanceof HistogramObserver);
  if (ofHistogram.length > 0) return histogramRange(ofHistogram, args, layer);
  return staticRange(
    observers.filter((observer) => observer instanceof StaticRangeObserver),
    args,
  );
}

/** What the rows were too few for; completes "The input range of the layer: …". */
export const inputRangeFinding = (observers: readonly RangeObserver[], args: QuantizationArgs): Promise<string | null> =>
  histogramFinding(
    observers.filter((observer) => observer instanceof HistogramObserver),
    args,
  );
