// A model folder run on documents, block by block so that one block's weights are in memory at a time: what perplexity, divergence and
// multiple choice have in common.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { embedRows, propagateBlock } from '../calibration/calibrate-block.js';
import { SpreadRows } from '../calibration/spread-rows.js';
import type { TokenBatches } from '../calibration/token-batches.js';
import { modelTensors, openTensorReader } from '../checkpoint/tensor-reader.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { loadCopies, type WeightCopies } from '../checkpoint/weight-copies.js';
import { freeHostMemory } from '../../../schemas/src/free-memory.js';
import { activationBudget } from '../memory/activation-budget.js';
import { manyLogits, type MemoryGovernor } from '../memory/memory-governor.js';
import type { TokenBatch } from '../models/model.js';
import type { Device } from '../tensor/tensor.js';

export interface EvaluationWatch {
  /** Findings about the text: rows that were cut, and the like. */
  onProblem(problem: RunProblem): void;
  onProgress(fraction: number): void;
  /** Called between batches; throws to stop. */
  throwIfCancelled(): void;
}

interface TokenCount {
  onTokens(n: number): void;
  /** For heads that begin again. */
  rewindToHeads(): void;
}

/** Progress of a pass in tokens: each block of each model sees all of them, then the heads together do. */
export function countTokens(watch: EvaluationWatch, { nTokens }: TokenBatches, models: readonly ModelDescription[]): TokenCount {
  const n_passed = models.reduce((sum, { architecture }) => sum + (architecture?.num_hidden_layers ?? 0), 0) * nTokens;
  let done = 0;
  return {
    onTokens(n) {
      watch.throwIfCancelled();
      done += n;
      watch.onProgress(Math.min(1, done / (n_passed + nTokens)));
    },
    rewindToHeads() {
      done = n_passed;
    },
  };
}

/** Rows of logits that are computed together. */
export const rowsAtATime = (vocab_size: number, logitsAtATime = manyLogits): number => Math.max(1, Math.floor(logitsAtATime / vocab_size));

export interface PassInput {
  model: ModelDescription;
  devices: readonly Device[];
  /** Made for the same devices. */
  tokens: TokenBatches;
  /** Keeps the pass alive where memory runs out; without one the pass fails there. */
  governor?: MemoryGovernor;
  /** Bytes of the host that the pass may use; all that is free where it is left out. */
  availableBytes?: number | undefined;
  /** Models whose hidden states are compared, and whose heads work together; one where it is left out. */
  n_heads?: number;
  /** Called with the tokens of every batch that a step has finished; throws to stop. */
  onTokens(n: number): void;
}

/** Hidden states after the last block, while `use` runs; in memory or in files that are gone afterwards. */
export async function withHiddenStates<T>(input: PassInput, use: (rows: SpreadRows) => Promise<T>): Promise<T> {
  const { model, devices, tokens, governor, availableBytes = freeHostMemory(), n_heads = 1 } = input;
  const dir = await mkdtemp(path.join(os.tmpdir(), 'bitwright-evaluate-'));
  try {
    using rows = new SpreadRows({
      tokens,
      devices,
      model,
      purpose: 'Evaluation',
      dir,
      budgetOf: (device, n_used) => activationBudget(device, n_used, model, [], availableBytes / n_heads, tokens.largest, n_heads),
      onBatch: (batch) => input.onTokens(batch.nTokens),
    });
    using _ = governor?.hold({ tokens, rows });
    await passBlocks(rows, model, (stage, attempt) => (governor === undefined ? attempt() : governor.survive({ stage }, attempt)));
    return await use(rows);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function passBlocks(
  rows: SpreadRows,
  model: ModelDescription,
  survive: (stage: string, attempt: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const load = copiesLoader(rows.devices, model);
  const [{ model: decoder }] = rows.parts;
  await survive('the embedding', async () => {
    using copies = await load((name) => decoder.embeddingTensors.includes(name));
    await rows.onEach(
      (part, index) => embedRows(part, copies.on(index)),
      () => undefined,
    );
  });
  for (let block = 0; block < decoder.nBlocks; block += 1)
    await survive(`block ${block}`, async () => {
      using copies = await load((name) => name.startsWith(`${model.architecture?.layers}.${block}.`));
      await rows.onEach((part, index) => propagateBlock(part, block, copies.on(index)));
    });
}

/** Weights of a folder by the names of tensors, as any reader of it would get them. */
export function partLoader(device: Device, model: ModelDescription): (isWanted: (name: string) => boolean) => Promise<LoadedWeights> {
  const load = copiesLoader([device], model);
  return async (isWanted) => (await load(isWanted)).first;
}

/** The same on every device. */
export function copiesLoader(
  devices: readonly Device[],
  model: ModelDescription,
): (isWanted: (name: string) => boolean) => Promise<WeightCopies> {
  const tensors = modelTensors(model);
  return (isWanted) =>
    loadCopies(
      devices,
      (device) => openTensorReader(device, tensors),
      isWanted,
      (module) => model.quantization?.layers[module] ?? null,
    );
}

/** The token behind each; the last of a document predicts nothing: −1. */
export function nextTokens({ tokens, offsets }: TokenBatch): Int32Array {
  const next = new Int32Array(tokens.length);
  next.set(tokens.subarray(1));
  for (const end of offsets.slice(1)) next[end - 1] = -1;
  return next;
}
