// The statistics of a unit from all devices as one: the Hessian of an input on the device where its linears are quantized, ranges as numbers.
import type { LayerPlan, QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { mergeHessians } from '../observers/hessian.js';
import { inputRange, inputRangeFinding, type RangeObserver } from '../observers/input-range.js';
import { largestOf, meansOf, type InputMeans } from '../observers/input-mean.js';
import type { SeenRows } from '../quantizers/quantizer.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { BlockStatistics } from './block-statistics.js';

export class SpreadStatistics implements Disposable {
  private merged: { modules: readonly string[]; hessian: Tensor; cross: Tensor | null; seen: SeenRows }[] = [];

  /** In the order of the devices; taken over. */
  constructor(
    private readonly parts: readonly BlockStatistics[],
    private readonly layers: readonly LayerPlan[],
  ) {}

  /** Modules whose inputs were observed, one list for each input. */
  sharedInputs(): string[][] {
    const lists: string[][] = [];
    for (const modules of this.parts.flatMap((part) => part.sharedInputs())) {
      const known = lists.find((list) => modules.some((module) => list.includes(module)));
      if (known === undefined) lists.push([...modules]);
      else known.push(...modules.filter((module) => !known.includes(module)));
    }
    return lists;
  }

  /** Brings the Hessian of the input of these modules together on `target`, and its product with the other input where pairs were observed. */
  async gather(modules: readonly string[], target: Device): Promise<void> {
    const observers = this.parts.flatMap((part) => (modules[0] === undefined ? [] : (part.hessian(modules[0]) ?? [])));
    const hessian = await mergeHessians(observers, target);
    if (hessian === null) return;
    const pairs = this.parts.flatMap((part) => (modules[0] === undefined ? [] : (part.cross(modules[0]) ?? [])));
    const seen = { rows: 0, tokens: 0 };
    for (const { documents, tokens } of observers) [seen.rows, seen.tokens] = [seen.rows + documents, seen.tokens + tokens];
    this.merged.push({ modules, hessian, cross: await mergeHessians(pairs, target), seen });
  }

  /** The gathered Hessian of the input of a module, handed over to the caller. */
  takeHessian(module: string): { hessian: Tensor; cross: Tensor | null; seen: SeenRows } | null {
    const found = this.merged.find(({ modules }) => modules.includes(module));
    this.merged = this.merged.filter((other) => other !== found);
    return found ?? null;
  }

  /** Of a module whose bias is corrected; null where no row reached it. */
  inputMeans(module: string): Promise<InputMeans | null> {
    return meansOf(this.parts.flatMap((part) => part.mean(module) ?? []));
  }

  inputLargest(module: string): Promise<Float64Array | null> {
    return largestOf(this.parts.flatMap((part) => part.mean(module) ?? []));
  }

  async staticRange(module: string): Promise<[number, number] | null> {
    const { args, observers } = this.rangeObservers(module);
    return args ? inputRange(observers, args, module) : null;
  }

  /** What the observers of a module's inputs have to say of the rows. */
  async rangeFinding(module: string): Promise<string | null> {
    const { args, observers } = this.rangeObservers(module);
    return args ? inputRangeFinding(observers, args) : null;
  }

  private rangeObservers(module: string): { args: QuantizationArgs | null; observers: RangeObserver[] } {
    const args = this.layers.find(({ name }) => name === module)?.scheme?.input_activations ?? null;
    return { args, observers: args ? this.parts.flatMap((part) => part.range(module, args) ?? []) : [] };
  }

  [Symbol.dispose](): void {
    for (const { hessian, cross } of this.merged) {
      hessian.dispose();
      cross?.dispose();
    }
    this.merged = [];
    for (const part of this.parts) part[Symbol.dispose]();
  }
}
