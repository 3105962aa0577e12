// Mean of every input channel over the calibration rows, as the model computes it and as a runtime quantizes it, for bias correction. Sums are double; of several
// devices they are added in their order. Inputs that are quantized under calibrated scales are taken as they are: the scales follow from the same pass.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { gridArgs } from '../tensor/grid-args.js';
import { fakeQuantizeDynamic } from '../tensor/operations/forward.js';
import { columnMomentsAccumulate } from '../tensor/operations/observers.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ObservedBatch, Observer } from './observer.js';

export class InputMeanObserver implements Observer {
  private moments: Tensor | null = null;
  private quantizedMoments: Tensor | null = null;
  n_tokens = 0;

  /** `args`: how the inputs are quantized; null where they are not. */
  constructor(
    private readonly device: Device,
    private readonly args: QuantizationArgs | null,
  ) {}

  observe(input: Tensor, _batch: ObservedBatch): void {
    const columns = input.shape[1] ?? 0;
    this.n_tokens += input.shape[0] ?? 0;
    this.moments ??= this.device.zeros('F64', [5, columns]);
    columnMomentsAccumulate(this.moments, input);
    const { args } = this;
    if (args === null || args.dynamic !== true) return;
    const { strategy, group_size } = args;
    if (strategy !== 'token' && strategy !== 'tensor' && strategy !== 'group') return;
    this.quantizedMoments ??= this.device.zeros('F64', [5, columns]);
    using quantized = fakeQuantizeDynamic(input, { ...gridArgs(args), strategy, group_size: group_size ?? 0 });
    columnMomentsAccumulate(this.quantizedMoments, quantized);
  }

  /** Sums of every channel, of the inputs and of the quantized ones; null when nothing was observed. */
  async sums(): Promise<{ input: Float64Array; quantized: Float64Array } | null> {
    if (this.moments === null) return null;
    const input = await sumsIn(this.moments);
    return { input, quantized: this.quantizedMoments === null ? input : await sumsIn(this.quantizedMoments) };
  }

  /** Largest magnitude of every channel; null when nothing was observed. */
  async largest(): Promise<Float64Array | null> {
    return this.moments && (await this.moments.readDoubles()).slice(4 * (this.moments.shape[1] ?? 0));
  }

  [Symbol.dispose](): void {
    this.moments?.dispose();
    this.quantizedMoments?.dispose();
    this.moments = this.quantizedMoments = null;
  }
}

/** The first power of all five that the operation sums. */
const sumsIn = async (moments: Tensor): Promise<Float64Array> => (await moments.readDoubles()).slice(0, moments.shape[1]);

/** Over the rows of all devices; null when no token was seen. */
export async function largestOf(observers: readonly InputMeanObserver[]): Promise<Float64Array | null> {
  const parts = (await Promise.all(observers.map((observer) => observer.largest()))).filter((part) => part !== null);
  return parts.length === 0 ? null : parts.reduce((most, part) => most.map((value, column) => Math.max(value, part[column]!)));
}

export interface InputMeans {
  n_tokens: number;
  /** E[x] of every channel. */
  input: Float64Array;
  /** E[x̃], of inputs as they are quantized. */
  quantized: Float64Array;
}

/** Over the rows of all devices; null when no token was seen. */
export async function meansOf(observers: readonly InputMeanObserver[]): Promise<InputMeans | null> {
  const n_tokens = observers.reduce((sum, observer) => sum + observer.n_tokens, 0);
  const parts = (await Promise.all(observers.map((observer) => observer.sums()))).filter((part) => part !== null);
  const [first] = parts;
  if (first === undefined || n_tokens === 0) return null;
  const mean = (of: 'input' | 'quantized'): Float64Array =>
    first[of].map((_, column) => parts.reduce((sum, part) => sum + part[of][column]!, 0) / n_tokens);
  return { n_tokens, input: mean('input'), quantized: mean('quantized') };
}
