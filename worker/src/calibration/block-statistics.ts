// What the calibration rows say about the inputs of a unit's linears: linears that share an input share one set of observers.
import type { LayerPlan, QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { CrossHessianObserver } from '../observers/cross-hessian.js';
import { HessianObserver } from '../observers/hessian.js';
import { InputMeanObserver } from '../observers/input-mean.js';
import { newRangeObserver, type RangeObserver } from '../observers/input-range.js';
import type { ObservedBatch } from '../observers/observer.js';
import type { Device, Tensor } from '../tensor/tensor.js';

/** Observers of one input. */
interface InputGroup {
  hessian: HessianObserver;
  /** Fed where a layer's quantizer asks for it and the rows bring the other input. */
  cross: CrossHessianObserver;
  ranges: Map<string, RangeObserver>;
  /** By how the inputs are quantized; fed for layers whose bias is corrected. */
  means: Map<string, InputMeanObserver>;
}

export class BlockStatistics implements Disposable {
  private readonly groups: InputGroup[] = [];
  private readonly groupOf = new Map<string, InputGroup>();
  private readonly wanted: Map<string, LayerPlan>;
  private last: { input: Tensor; group: InputGroup; ranges: Set<string>; means: Set<string> } | null = null;

  constructor(
    private readonly device: Device,
    layers: readonly LayerPlan[],
    /** Names of the layers whose bias is corrected. */
    private readonly corrected: ReadonlySet<string> = new Set(),
  ) {
    this.wanted = new Map(layers.map((layer) => [layer.name, layer]));
  }

  /** To be called with every tapped input, linears with one input right after each other; `original` is what the unquantized model gives in its place. */
  observe(module: string, input: Tensor, batch: ObservedBatch, original: Tensor | null = null): void {
    const layer = this.wanted.get(module);
    if (layer === undefined) return;
    const shared = this.last?.input === input ? this.last : null;
    const group = this.groupOf.get(module) ?? shared?.group ?? this.newGroup();
    const current = shared ?? { input, group, ranges: new Set<string>(), means: new Set<string>() };
    this.groupOf.set(module, group);
    if (shared === null) group.hessian.observe(input, batch);
    if (shared === null && original !== null) group.cross.observe(original, input, batch);
    const args = layer.scheme?.input_activations;
    if (this.corrected.has(module)) this.observeMean(input, batch, args ?? null, current);
    if (args && args.dynamic !== true && !current.ranges.has(keyOf(args))) {
      rangeObserver(this.device, group, args, module).observe(input, batch);
      current.ranges.add(keyOf(args));
    }
    this.last = current;
  }

  /** Once for linears with one input that is quantized alike. */
  private observeMean(
    input: Tensor,
    batch: ObservedBatch,
    args: QuantizationArgs | null,
    { group, means }: { group: InputGroup; means: Set<string> },
  ): void {
    const key = JSON.stringify(args);
    if (means.has(key)) return;
    means.add(key);
    const observer = group.means.get(key) ?? new InputMeanObserver(this.device, args);
    group.means.set(key, observer);
    observer.observe(input, batch);
  }

  /** Modules whose inputs were observed, one list for each input. */
  sharedInputs(): string[][] {
    return this.groups.map((group) => [...this.groupOf].filter(([, of]) => of === group).map(([module]) => module));
  }

  /** What has seen the input of a module. */
  hessian(module: string): HessianObserver | null {
    return this.groupOf.get(module)?.hessian ?? null;
  }

  /** What has seen it beside the input of the unquantized model. */
  cross(module: string): CrossHessianObserver | null {
    return this.groupOf.get(module)?.cross ?? null;
  }

  mean(module: string): InputMeanObserver | null {
    const args = this.wanted.get(module)?.scheme?.input_activations ?? null;
    return this.groupOf.get(module)?.means.get(JSON.stringify(args)) ?? null;
  }

  range(module: string, args: QuantizationArgs): RangeObserver | null {
    return this.groupOf.get(module)?.ranges.get(keyOf(args)) ?? null;
  }

  private newGroup(): InputGroup {
    const group = {
      hessian: new HessianObserver(this.device),
      cross: new CrossHessianObserver(this.device),
      ranges: new Map(),
      means: new Map(),
    };
    this.groups.push(group);
    return group;
  }

  [Symbol.dispose](): void {
    for (const { hessian, cross, ranges, means } of this.groups) {
      hessian[Symbol.dispose]();
      cross[Symbol.dispose]();
      for (const range of ranges.values()) range[Symbol.dispose]();
      for (const mean of means.values()) mean[Symbol.dispose]();
    }
  }
}

const keyOf = (args: QuantizationArgs): string => JSON.stringify(args);

function rangeObserver(device: Device, group: InputGroup, args: QuantizationArgs, module: string): RangeObserver {
  const observer = group.ranges.get(keyOf(args)) ?? newRangeObserver(device, args, module);
  group.ranges.set(keyOf(args), observer);
  return observer;
}
