// Hidden states of all calibration rows between two blocks: in the memory of the device while they fit, else in files of the run folder.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { makeFolder, writeDurably } from '../checkpoint/durable-file.js';
import { reshape } from '../tensor/operations.js';
import type { Device, Tensor } from '../tensor/tensor.js';

type Entry = { kind: 'memory'; tensor: Tensor } | { kind: 'file'; file: string; shape: readonly number[] };

export class ActivationCache implements Disposable {
  private readonly entries = new Map<number, Entry>();
  private bytesInMemory = 0;
  private generation = 0;

  /** `budget`: bytes that may stay in memory. */
  constructor(
    private readonly device: Device,
    private readonly dir: string,
    private readonly budget: number,
  ) {}

  /** A tensor of the caller's own. */
  get(batch: number): Tensor {
    const entry = this.entries.get(batch);
    if (entry === undefined) throw new Error(`Batch ${batch} was asked for before its hidden states were kept.`);
    return entry.kind === 'memory' ? reshape(entry.tensor, entry.tensor.shape) : this.device.fromFile(entry.file, 0, 'F32', entry.shape);
  }

  /** Takes the tensor over. */
  async set(batch: number, tensor: Tensor): Promise<void> {
    const known = this.entries.get(batch);
    if (known?.kind === 'memory') {
      this.bytesInMemory -= known.tensor.bytes;
      known.tensor.dispose();
    }
    if (this.bytesInMemory + tensor.bytes <= this.budget) {
      this.bytesInMemory += tensor.bytes;
      this.entries.set(batch, { kind: 'memory', tensor });
      return;
    }
    using spilled = tensor;
    await makeFolder(this.dir);
    // A new name each time: the queue may still have to read the old file.
    const file = path.join(this.dir, `${batch}-${(this.generation += 1)}.f32`);
    await writeDurably(file, [await spilled.read()], `${spilled.bytes} bytes of hidden states`);
    this.entries.set(batch, { kind: 'file', file, shape: [...spilled.shape] });
    if (known?.kind === 'file') await rm(known.file, { force: true });
  }

  async removeFiles(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    for (const entry of this.entries.values()) if (entry.kind === 'memory') entry.tensor.dispose();
    this.entries.clear();
  }
}
