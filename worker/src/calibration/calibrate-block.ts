// All calibration rows through one decoder block: once to feed the observers, once more to hand the block's new output to the next block.
import type { DecoderModel, Tap, TokenBatch, WeightSource } from '../models/model.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { ActivationCache } from './activation-cache.js';

export interface CalibrationRows {
  model: DecoderModel;
  /** Halved where memory runs out, the hidden states with them. */
  batches: readonly TokenBatch[];
  cache: ActivationCache;
  /** Hidden states of the unquantized model beside those behind quantized blocks; null unless a quantizer compares them. */
  original: ActivationCache | null;
  device: Device;
  /** Called when a batch is enqueued: what is enqueued now, the device does not wait for to end the batch. */
  onEnqueued?: (() => void) | null;
  /** Called when the device has finished a batch; throws to stop. */
  onBatch(batch: TokenBatch): void;
}

export const cachesOf = ({ cache, original }: Pick<CalibrationRows, 'cache' | 'original'>): ActivationCache[] =>
  original === null ? [cache] : [cache, original];

/** Hidden states before the first block; batches that have them are passed over. */
export function embedRows(rows: CalibrationRows, weights: WeightSource): Promise<void> {
  return forEachBatch(
    rows,
    (batch, index) => rows.cache.stage(index, rows.model.embed(batch, weights), 0),
    (index) => rows.cache.passed(index) !== null,
  );
}

/** The block as `weights` have it; `tap` sees the input of every linear. */
export function observeBlock(
  rows: CalibrationRows,
  block: number,
  weights: WeightSource,
  tap: (...args: [...Parameters<Tap>, TokenBatch]) => void,
): Promise<void> {
  return forEachBatch(rows, (batch, index) => {
    using hidden = rows.cache.get(index);
    rows.model.observeBlock(block, hidden, batch, weights, (module, input) => tap(module, input, batch));
  });
}

/** The block as `weights` have it; `see` gets what one of its modules takes. */
export function observeModule(
  rows: CalibrationRows,
  block: number,
  module: string,
  weights: WeightSource,
  see: (input: Tensor, batch: TokenBatch) => void,
): Promise<void> {
  return forEachBatch(rows, (batch, index) => {
    using hidden = rows.cache.get(index);
    rows.model.observeModule(module, block, hidden, batch, weights, (input) => see(input, batch));
  });
}

/** The block as `weights` have it; its output is what the next block will see. Batches that have passed it are passed over. */
export function propagateBlock(rows: CalibrationRows, block: number, weights: WeightSource): Promise<void> {
  return forEachBatch(
    rows,
    (batch, index) => {
      using hidden = rows.cache.get(index);
      rows.cache.stage(index, rows.model.forwardBlock(block, hidden, batch, weights, null), block + 1);
    },
    (index) => (rows.cache.passed(index) ?? 0) > block,
  );
}

/** The input of the head: hidden states after the last block, normed. */
export function observeHead(rows: CalibrationRows, weights: WeightSource, see: (input: Tensor, batch: TokenBatch) => void): Promise<void> {
  return forEachBatch(rows, (batch, index) => {
    using hidden = rows.cache.get(index);
    using normed = rows.model.finalNorm(hidden, weights);
    see(normed, batch);
  });
}

/** The next batch is enqueued while the device works on the last one, so that it never waits for JavaScript; never more, so that a cancel is quick. */
export async function forEachBatch(
  rows: CalibrationRows,
  enqueue: (batch: TokenBatch, index: number) => void,
  isDone: (index: number) => boolean = () => false,
): Promise<void> {
  let previous: { batch: TokenBatch; index: number; done: Promise<void> } | null = null;
  const finish = async (): Promise<void> => {
    if (previous === null) return;
    const { batch, index, done } = previous;
    previous = null;
    await done;
    await rows.cache.commit(index);
    rows.onBatch(batch);
  };
  for (const [index, batch] of rows.batches.entries()) {
    if (isDone(index)) {
      rows.onBatch(batch);
      continue;
    }
    enqueue(batch, index);
    rows.onEnqueued?.();
    const done = rows.device.sync();
    // Its failure is told by finish(), one batch later.
    done.catch(() => undefined);
    await finish();
    previous = { batch, index, done };
  }
  await finish();
}
