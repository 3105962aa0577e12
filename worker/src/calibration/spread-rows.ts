// Calibration rows spread over the devices of a run. Batch i belongs to device i mod n, however long each takes; a device has the hidden states, the model and
// the weights for its own batches, and nothing passes between devices until what they have seen is merged, in the order of the devices.
//
// What follows from it: a batch gives the same numbers wherever it runs (on devices of one kind), so that all that is exact in any order stays the same to
// the bit: extremes, averages taken in the order of the rows, losses added in the order of the tokens. Sums in floating point are added in another order:
// see observers/hessian.ts and observers/channel-mean.ts for the bounds.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { TokenBatch } from '../models/model.js';
import { openDecoder } from '../models/open-decoder.js';
import type { Device } from '../tensor/tensor.js';
import { ActivationCache, type ActivationBudget, type PlacedBytes } from './activation-cache.js';
import { cachesOf, type CalibrationRows } from './calibrate-block.js';
import type { TokenBatches } from './token-batches.js';

export interface SpreadRowsInput {
  /** Made for the same devices. */
  tokens: TokenBatches;
  devices: readonly Device[];
  model: ModelDescription;
  /** Begins the sentence when the model's family is unknown. */
  purpose: string;
  /** Folder for hidden states that do not fit. */
  dir: string;
  /** Keeps the hidden states of the unquantized model beside those behind quantized blocks; they share the bytes that may stay. */
  pairs?: boolean;
  /** Bytes of hidden states that may stay in the memory of one of `n_used` devices, and beside it. */
  budgetOf(device: Device, n_used: number): ActivationBudget;
  onBatch(batch: TokenBatch): void;
}

/** Leaves a part whose neighbour has failed; never told, as the neighbour's failure is. */
class NeighbourFailed extends Error {}

export class SpreadRows implements Disposable {
  /** One for each device that has a batch. */
  readonly parts: readonly [CalibrationRows, ...CalibrationRows[]];
  readonly nTokens: number;
  private readonly dir: string;
  private readonly owned: Disposable[] = [];

  constructor(input: SpreadRowsInput) {
    this.nTokens = input.tokens.nTokens;
    this.dir = input.dir;
    const used = input.devices.slice(0, input.tokens.batches.length);
    try {
      const [first, ...others] = used.map((device, index) => this.partOf(input, used.length, device, index));
      if (first === undefined) throw new Error('Calibration rows were spread over no device.');
      this.parts = [first, ...others];
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  private partOf(
    { model, tokens, purpose, dir, pairs = false, budgetOf, onBatch }: SpreadRowsInput,
    n_used: number,
    device: Device,
    index: number,
  ): CalibrationRows {
    const decoder = openDecoder(model, device, tokens.longest, purpose);
    this.owned.push(decoder);
    const own = n_used === 1 ? dir : path.join(dir, `device-${index}`);
    const newCache = (folder: string): ActivationCache => {
      const { device: onDevice, host } = budgetOf(device, n_used);
      const cache = new ActivationCache(device, folder, pairs ? { device: onDevice / 2, host: host / 2 } : { device: onDevice, host });
      this.owned.push(cache);
      return cache;
    };
    const cache = newCache(own);
    const original = pairs ? newCache(path.join(own, 'original')) : null;
    return { model: decoder, device, cache, original, batches: tokens.batches.filter((_, batch) => batch % n_used === index), onBatch };
  }

  get devices(): Device[] {
    return this.parts.map(({ device }) => device);
  }

  /**
   * `work` on all devices at once; `onBatch` in place of what the rows were made with. It ends when all have ended, so that nothing is freed under a device
   * that works; a failure ends the others with their next batch.
   */
  async onEach<T>(work: (rows: CalibrationRows, index: number) => Promise<T>, onBatch?: (batch: TokenBatch) => void): Promise<T[]> {
    let hasFailed = false;
    const watched = async (rows: CalibrationRows, index: number): Promise<T> => {
      const seeBatch = (batch: TokenBatch): void => {
        if (hasFailed) throw new NeighbourFailed();
        (onBatch ?? rows.onBatch)(batch);
      };
      try {
        return await work({ ...rows, onBatch: seeBatch }, index);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    };
    return allOf(this.parts.map(watched));
  }

  /** The most hidden states in each place at a time, of all devices together. */
  get peaks(): PlacedBytes {
    const sum = (kind: keyof PlacedBytes): number => this.parts.flatMap(cachesOf).reduce((bytes, cache) => bytes + cache.peaks[kind], 0);
    return { device: sum('device'), host: sum('host'), disk: sum('disk') };
  }

  async removeFiles(): Promise<void> {
    for (const cache of this.parts.flatMap(cachesOf)) await cache.removeFiles();
    await rm(this.dir, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    for (const one of this.owned) one[Symbol.dispose]();
  }
}

/** Like Promise.all, but it waits for all of them, and of several failures it tells the first in order. */
export async function allOf<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const ended = await Promise.allSettled(promises);
  const failures = ended.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  if (failures.length > 0) throw failures.find((error) => !(error instanceof NeighbourFailed)) ?? failures[0];
  return ended.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}
