// Pairs of inputs, for quantizers that correct the errors of the layers before: every batch passes through a block twice, as the unquantized model has it and behind
// the quantized blocks, and linears see both. The hidden states of the unquantized model are a second cache, kept only when a quantizer of the plan asks for it;
// they come from the source weights alone, so a resumed run rebuilds both.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { modelTensors, openTensorReader } from '../checkpoint/tensor-reader.js';
import { loadCopies } from '../checkpoint/weight-copies.js';
import type { WeightSource } from '../models/model.js';
import { reshape } from '../tensor/operations/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import type { ActivationCache } from './activation-cache.js';
import type { BlockStatistics } from './block-statistics.js';
import { embedRows, forEachBatch, propagateBlock, type CalibrationRows } from './calibrate-block.js';
import type { SpreadRows } from './spread-rows.js';

/** Hidden states of the unquantized model before the first block. */
export function embedOriginal(rows: SpreadRows, model: ModelDescription): Promise<void> {
  const [first] = rows.parts;
  return withOriginal(rows, model, (name) => first.model.embeddingTensors.includes(name), embedRows);
}

/** A block of the unquantized model. */
export function propagateOriginal(rows: SpreadRows, block: number, model: ModelDescription, layers: string): Promise<void> {
  const wanted = (name: string): boolean => name.startsWith(`${layers}.${block}.`);
  return withOriginal(rows, model, wanted, (original, weights) => propagateBlock(original, block, weights));
}

/** Nothing where no quantizer of the plan compares inputs. */
async function withOriginal(
  rows: SpreadRows,
  model: ModelDescription,
  wanted: (name: string) => boolean,
  work: (original: CalibrationRows, weights: WeightSource) => Promise<void>,
): Promise<void> {
  if (rows.parts[0].original === null) return;
  const tensors = modelTensors(model);
  using copies = await loadCopies(
    rows.devices,
    (device) => openTensorReader(device, tensors),
    wanted,
    () => null,
  );
  await rows.onEach(async ({ original, ...part }, index) => {
    if (original !== null) await work({ ...part, cache: original, original: null }, copies.on(index));
  });
}

/**
 * Both inputs of every linear of a unit: those of the unquantized model are kept for the time of a batch. `weights` are the unit's before quantization,
 * and as far as it is quantized.
 */
export function observePairs(
  rows: CalibrationRows,
  cache: ActivationCache,
  { block }: { block: number | null },
  head: string | undefined,
  weights: { before: WeightSource; now: WeightSource },
  statistics: BlockStatistics,
): Promise<void> {
  return forEachBatch(rows, (batch, index) => {
    const originals = new Map<string, Tensor>();
    const see = (hidden: Tensor, weights: WeightSource, tap: (module: string, input: Tensor) => void): void => {
      if (block !== null) return rows.model.observeBlock(block, hidden, batch, weights, tap);
      using normed = rows.model.finalNorm(hidden, weights);
      if (head !== undefined) tap(head, normed);
    };
    try {
      using before = cache.get(index);
      see(before, weights.before, (module, input) => originals.set(module, reshape(input, input.shape)));
      using hidden = rows.cache.get(index);
      see(hidden, weights.now, (module, input) => statistics.observe(module, input, batch, originals.get(module) ?? null));
    } finally {
      for (const original of originals.values()) original.dispose();
    }
  });
}
