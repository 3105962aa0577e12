// Power sums of the inputs of the layers that an analysis looks at.
import { ColumnMomentsObserver } from '../observers/column-moments.js';
import type { ObservedBatch } from '../observers/observer.js';
import type { Device, Tensor } from '../tensor/tensor.js';

/** Linears that share an input share them. */
export class InputMoments implements Disposable {
  private readonly observerOf = new Map<string, ColumnMomentsObserver>();
  private last: { input: Tensor; observer: ColumnMomentsObserver } | null = null;

  constructor(
    private readonly device: Device,
    private readonly wanted: ReadonlySet<string>,
  ) {}

  observe(module: string, input: Tensor, batch: ObservedBatch): void {
    if (!this.wanted.has(module)) return;
    const isSame = this.last?.input === input;
    const observer = this.observerOf.get(module) ?? (isSame ? this.last?.observer : null) ?? new ColumnMomentsObserver(this.device);
    this.observerOf.set(module, observer);
    if (!isSame) observer.observe(input, batch);
    this.last = { input, observer };
  }

  of(module: string): ReturnType<ColumnMomentsObserver['statistics']> {
    return this.observerOf.get(module)?.statistics() ?? Promise.resolve(null);
  }

  [Symbol.dispose](): void {
    for (const observer of this.observerOf.values()) observer[Symbol.dispose]();
  }
}
