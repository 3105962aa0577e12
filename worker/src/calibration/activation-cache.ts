// Hidden states of all calibration rows between two blocks: in the memory of the device while they fit, else in pinned memory of the host, else in
// files of the run folder. What a pass makes of a batch takes the place of what it was only when the device has finished it, so that a pass that
// runs out of memory can be taken up again.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { makeFolder, writeDurably } from '../checkpoint/durable-file.js';
import { narrow, reshape } from '../tensor/operations/storage.js';
import { missingMemory } from '../memory/missing-memory.js';
import type { Device, Tensor } from '../tensor/tensor.js';

/** Bytes that may stay. Lowered while the cache is in use, it counts for what comes; `moveOut` applies it to what is there. */
export interface ActivationBudget {
  device: number;
  /** Pinned; 0 on a CPU, whose memory is the host's. */
  host: number;
}

export interface PlacedBytes {
  device: number;
  host: number;
  disk: number;
}

/** `n_users`: batches that lie in it. */
interface SpilledFile {
  path: string;
  n_users: number;
}

type Place = { kind: 'device'; tensor: Tensor } | { kind: 'host'; tensor: Tensor } | { kind: 'disk'; file: SpilledFile; offset: number };

interface Entry {
  place: Place;
  shape: readonly number[];
  bytes: number;
  /** Blocks that it has passed. */
  passed: number;
}

export class ActivationCache implements Disposable {
  private entries = new Map<number, Entry>();
  /** Made by work that the device may not have finished; a file is written when it has. */
  private readonly pending = new Map<number, { tensor: Tensor; kind: keyof PlacedBytes; passed: number }>();
  private generation = 0;
  readonly bytes: PlacedBytes = { device: 0, host: 0, disk: 0 };
  readonly peaks: PlacedBytes = { device: 0, host: 0, disk: 0 };

  constructor(
    private readonly device: Device,
    private readonly dir: string,
    readonly budget: ActivationBudget,
  ) {}

  /** Blocks that the batch has passed; null before it is embedded. */
  passed(batch: number): number | null {
    return this.entries.get(batch)?.passed ?? null;
  }

  /** A tensor of the caller's own, on the device. */
  get(batch: number): Tensor {
    const entry = this.entries.get(batch);
    if (entry === undefined) throw new Error(`Batch ${batch} was asked for before its hidden states were kept.`);
    const { place, shape } = entry;
    if (place.kind === 'device') return reshape(place.tensor, shape);
    if (place.kind === 'disk') return this.device.fromFile(place.file.path, place.offset, 'F32', shape);
    return this.device.toDevice(place.tensor);
  }

  /** Takes the tensor over; it counts from `commit` on. */
  stage(batch: number, tensor: Tensor, passed: number): void {
    const known = this.entries.get(batch);
    const fits = (kind: 'device' | 'host'): boolean =>
      this.bytes[kind] - (known?.place.kind === kind ? known.bytes : 0) + tensor.bytes <= this.budget[kind];
    const kind = fits('device') ? 'device' : fits('host') ? 'host' : 'disk';
    if (kind !== 'host') return this.hold(batch, tensor, kind, passed);
    using moved = tensor;
    this.hold(batch, this.device.toHost(moved), kind, passed);
  }

  /** To be called when the device has finished the work that made the batch. */
  async commit(batch: number): Promise<void> {
    const made = this.pending.get(batch);
    if (made === undefined) return;
    const { tensor, kind, passed } = made;
    const { shape, bytes } = tensor;
    const place: Place = kind === 'disk' ? await this.spill(batch, tensor) : { kind, tensor };
    this.pending.delete(batch);
    await this.drop(this.entries.get(batch));
    this.entries.set(batch, { place, shape: [...shape], bytes, passed });
  }

  /** Takes a finished tensor over. */
  put(batch: number, tensor: Tensor, passed: number): Promise<void> {
    this.stage(batch, tensor, passed);
    return this.commit(batch);
  }

  /** What was staged and not committed is gone; the batches are what they were. */
  rollBack(): void {
    for (const { tensor, kind } of this.pending.values()) {
      this.count(kind, -tensor.bytes);
      tensor.dispose();
    }
    this.pending.clear();
  }

  /** What the budget no longer allows moves to the host or to files. Answers what was moved where; to be called when the device is idle. */
  async moveOut(): Promise<PlacedBytes> {
    const moved = { device: 0, host: 0, disk: 0 };
    for (const kind of ['device', 'host'] as const)
      for (const [batch, entry] of this.entries) {
        const { place, bytes } = entry;
        if (place.kind !== kind || this.bytes[kind] <= this.budget[kind]) continue;
        const parked = kind === 'device' ? await this.park(place.tensor) : null;
        entry.place = parked ?? (await this.spill(batch, place.tensor));
        this.count(kind, -bytes);
        this.count(entry.place.kind, bytes);
        moved[entry.place.kind] += bytes;
      }
    return moved;
  }

  /** Every batch becomes as many as it has parts, of so many tokens each. */
  split(parts: readonly (readonly number[])[]): void {
    const entries = new Map<number, Entry>();
    let next = 0;
    for (const [batch, sizes] of parts.entries()) {
      const entry = this.entries.get(batch);
      let begin = 0;
      for (const n_tokens of sizes) {
        if (entry !== undefined) entries.set(next, partOf(entry, begin, n_tokens));
        [next, begin] = [next + 1, begin + n_tokens];
      }
      if (entry?.place.kind === 'disk') entry.place.file.n_users += sizes.length - 1;
      else entry?.place.tensor.dispose();
    }
    this.entries = entries;
  }

  /** No batch is embedded any more. */
  async clear(): Promise<void> {
    this.rollBack();
    for (const entry of this.entries.values()) await this.drop(entry);
    this.entries.clear();
  }

  async removeFiles(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.rollBack();
    for (const { place } of this.entries.values()) if (place.kind !== 'disk') place.tensor.dispose();
    this.entries.clear();
  }

  private hold(batch: number, tensor: Tensor, kind: keyof PlacedBytes, passed: number): void {
    this.count(kind, tensor.bytes);
    this.pending.set(batch, { tensor, kind, passed });
  }

  private count(kind: keyof PlacedBytes, bytes: number): void {
    this.bytes[kind] += bytes;
    this.peaks[kind] = Math.max(this.peaks[kind], this.bytes[kind]);
  }

  /** Writes the tensor and takes it over when it is written. */
  private async spill(batch: number, tensor: Tensor): Promise<Place> {
    const bytes = await tensor.read();
    await makeFolder(this.dir);
    // A new name each time: the queue may still have to read the old file.
    const file = path.join(this.dir, `${batch}-${(this.generation += 1)}.f32`);
    await writeDurably(file, [bytes], `${bytes.byteLength} bytes of hidden states`);
    tensor.dispose();
    return { kind: 'disk', file: { path: file, n_users: 1 }, offset: 0 };
  }

  /** Moves the tensor to the host; null when the budget or the host has no room for it. */
  private async park(tensor: Tensor): Promise<Place | null> {
    if (this.bytes.host + tensor.bytes > this.budget.host) return null;
    const parked = this.device.toHost(tensor);
    try {
      await this.device.sync();
    } catch (error) {
      parked.dispose();
      if (missingMemory(error)?.where !== 'host') throw error;
      this.budget.host = this.bytes.host;
      return null;
    }
    tensor.dispose();
    return { kind: 'host', tensor: parked };
  }

  private async drop(entry: Entry | undefined): Promise<void> {
    if (entry === undefined) return;
    const { place, bytes } = entry;
    this.count(place.kind, -bytes);
    if (place.kind !== 'disk') return place.tensor.dispose();
    place.file.n_users -= 1;
    if (place.file.n_users === 0) await rm(place.file.path, { force: true });
  }
}

function partOf({ place, shape, passed }: Entry, begin: number, n_tokens: number): Entry {
  const width = shape.slice(1).reduce((product, extent) => product * extent, 1);
  const own = { shape: [n_tokens, ...shape.slice(1)], bytes: 4 * n_tokens * width, passed };
  if (place.kind === 'disk') return { ...own, place: { ...place, offset: place.offset + 4 * begin * width } };
  return { ...own, place: { kind: place.kind, tensor: narrow(place.tensor, begin, n_tokens) } };
}
