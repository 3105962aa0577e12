// The weights of the next block, asked for one by one while the rows pass through this one: a CUDA device fills its memory on a stream of its own, so
// that they have arrived when the next block begins. On the CPU the queue reads files in its turn: from a slow
// disk (300 MB/s) that is 2 % of the work on a block of 400 MB and 4096 tokens, and less with more of them.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { TensorReader } from '../checkpoint/tensor-reader.js';
import type { ReaderOn } from '../checkpoint/weight-copies.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import { passingBytes } from './activation-budget.js';
import type { Luxury } from './memory-governor.js';

export class NextWeights implements Luxury, Disposable {
  private readonly loaded = new Map<string, Tensor>();
  private readonly bytesOf: ReadonlyMap<string, number>;
  private wanted: string[] = [];
  private atATime = 1;
  private isOff: boolean;

  /** `T`: tokens of the largest batch. */
  constructor(
    private readonly source: TensorReader,
    private readonly model: ModelDescription,
    private readonly T: number,
  ) {
    this.isOff = source.device.native.kind !== 'cuda';
    this.bytesOf = new Map(model.tensors.map(({ name, bytes }) => [name, bytes]));
  }

  /** What is to be loaded during the next `n_batches` batches; nothing where it does not fit beside their activations. */
  plan(block: number, n_batches: number): void {
    this.clear();
    const { architecture } = this.model;
    if (this.isOff || architecture === null) return;
    const names = this.source.names.filter((name) => name.startsWith(`${architecture.layers}.${block}.`));
    const bytes = names.reduce((sum, name) => sum + (this.bytesOf.get(name) ?? 0), 0);
    const { free_bytes } = this.source.device.native.memory();
    if ((free_bytes ?? 0) < bytes + passingBytes(architecture, this.T)) return;
    this.wanted = names;
    this.atATime = Math.ceil(names.length / Math.max(1, n_batches));
  }

  /** To be called when a batch is enqueued: the device works on it while the next few are read. */
  step(): void {
    for (const name of this.wanted.splice(0, this.atATime)) this.loaded.set(name, this.source.load(name));
  }

  /** The unquantized model; what is loaded already is handed over. */
  reader(): TensorReader {
    const take = (name: string): Tensor | undefined => {
      const tensor = this.loaded.get(name);
      this.loaded.delete(name);
      return tensor;
    };
    return { ...this.source, load: (name) => take(name) ?? this.source.load(name) };
  }

  giveUp(): number {
    const bytes = [...this.loaded.values()].reduce((sum, tensor) => sum + tensor.bytes, 0);
    this.clear();
    if (bytes > 0) this.isOff = true;
    return bytes;
  }

  private clear(): void {
    for (const tensor of this.loaded.values()) tensor.dispose();
    this.loaded.clear();
    this.wanted = [];
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

/** The same on every device that rows pass through. */
export class NextWeightsOnEach implements Luxury, Disposable {
  private readonly ahead: readonly NextWeights[];

  constructor(
    private readonly devices: readonly Device[],
    private readonly readerOn: ReaderOn,
    model: ModelDescription,
    T: number,
  ) {
    this.ahead = devices.map((device) => new NextWeights(readerOn(device), model, T));
  }

  plan(index: number, block: number, n_batches: number): void {
    this.ahead[index]?.plan(block, n_batches);
  }

  step(index: number): void {
    this.ahead[index]?.step();
  }

  /** The unquantized model, with what is loaded already where there is any. */
  reader(device: Device): TensorReader {
    return this.ahead[this.devices.indexOf(device)]?.reader() ?? this.readerOn(device);
  }

  giveUp(): number {
    return this.ahead.reduce((bytes, one) => bytes + one.giveUp(), 0);
  }

  [Symbol.dispose](): void {
    for (const one of this.ahead) one[Symbol.dispose]();
  }
}
