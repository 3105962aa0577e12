// Perplexity of a model folder on a text, quantized or not, block by block so that one block's weights are in memory at a time.
// Per document: BOS, cut at max_seq_length, exp of the total negative log-likelihood over all predicted tokens.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { Perplexity, RunProblem } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { embedRows, propagateBlock, type CalibrationRows } from '../calibration/calibrate-block.js';
import { SpreadRows } from '../calibration/spread-rows.js';
import { loadTokenBatches } from '../calibration/token-batches.js';
import { freeHostMemory } from '../jobs/memory-estimate.js';
import { activationBudget } from '../memory/activation-budget.js';
import { MemoryGovernor } from '../memory/memory-governor.js';
import { modelTensors, openTensorReader } from '../checkpoint/tensor-reader.js';
import { loadCopies, type WeightCopies } from '../checkpoint/weight-copies.js';
import type { TokenBatch, WeightSource } from '../models/model.js';
import { crossEntropy, narrow } from '../tensor/operations.js';
import type { Device } from '../tensor/tensor.js';

export interface EvaluationWatch {
  /** Findings about the text: rows that were cut, and the like. */
  onProblem(problem: RunProblem): void;
  onProgress(fraction: number): void;
  /** Called between batches; throws to stop. */
  throwIfCancelled(): void;
}

export async function measurePerplexity(
  model: ModelDescription,
  dataset: DatasetPlan,
  devices: readonly Device[],
  watch: EvaluationWatch,
  governor = new MemoryGovernor(devices, (problem) => watch.onProblem(problem)),
  availableBytes = freeHostMemory(),
): Promise<Perplexity> {
  using tokens = await loadTokenBatches(dataset, model, devices, {
    batchTokens: governor.batchTokens,
    recipePath: ['evaluate', 'perplexity'],
  });
  tokens.problems.forEach((problem) => watch.onProblem(problem));
  const n_predicted = tokens.nTokens - tokens.nDocuments;
  if (n_predicted === 0)
    throw runFailure.datasetInvalid(
      dataset.dataset,
      null,
      `none of its ${tokens.nDocuments} documents has two tokens, so that there is nothing to predict`,
    );
  const dir = await mkdtemp(path.join(os.tmpdir(), 'bitwright-evaluate-'));
  const n_blocks = model.architecture?.num_hidden_layers ?? 0;
  const n_steps = (n_blocks + 1) * tokens.nTokens;
  let done = 0;
  const onBatch = (batch: TokenBatch): void => {
    watch.throwIfCancelled();
    done += batch.nTokens;
    watch.onProgress(Math.min(1, done / n_steps));
  };
  try {
    using rows = new SpreadRows({
      tokens,
      devices,
      model,
      purpose: 'Evaluation',
      dir,
      budgetOf: (device, n_used) => activationBudget(device, n_used, model, [], availableBytes, tokens.largest),
      onBatch,
    });
    using _ = governor.hold({ tokens, rows });
    await passBlocks(rows, model, governor);
    const nll = await governor.survive({ stage: 'the head', hasLogits: true, rewind: () => (done = n_blocks * tokens.nTokens) }, () =>
      totalLoss(rows, model, governor),
    );
    return { dataset: dataset.dataset, perplexity: Math.exp(nll / n_predicted), nll, tokens: n_predicted, documents: tokens.nDocuments };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function passBlocks(rows: SpreadRows, model: ModelDescription, governor: MemoryGovernor): Promise<void> {
  const load = partLoader(rows.devices, model);
  const [{ model: decoder }] = rows.parts;
  await governor.survive({ stage: 'the embedding' }, async () => {
    using copies = await load((name) => decoder.embeddingTensors.includes(name));
    await rows.onEach(
      (part, index) => embedRows(part, copies.on(index)),
      () => undefined,
    );
  });
  for (let block = 0; block < decoder.nBlocks; block += 1)
    await governor.survive({ stage: `block ${block}` }, async () => {
      using copies = await load((name) => name.startsWith(`${model.architecture?.layers}.${block}.`));
      await rows.onEach((part, index) => propagateBlock(part, block, copies.on(index)));
    });
}

/** Losses are added in the order of the tokens, so that the sum is the same to the bit whatever the number of devices. */
async function totalLoss(rows: SpreadRows, model: ModelDescription, governor: MemoryGovernor): Promise<number> {
  const [{ model: decoder }] = rows.parts;
  const n_rows = Math.max(1, Math.floor(governor.logitsAtATime / (model.architecture?.vocab_size ?? 1)));
  using copies = await partLoader(rows.devices, model)((name) => decoder.headTensors.includes(name));
  const found = await rows.onEach(async (part, device) => {
    const losses: { batch: TokenBatch; losses: Float64Array }[] = [];
    for (const [index, batch] of part.batches.entries()) {
      losses.push({ batch, losses: await batchLosses(part, index, batch, copies.on(device), n_rows) });
      part.onBatch(batch);
    }
    return losses;
  });
  let total = 0;
  for (const { batch, losses } of found.flat().sort((a, b) => a.batch.firstDocument - b.batch.firstDocument)) {
    const wrong = losses.findIndex((loss) => !Number.isFinite(loss));
    if (wrong >= 0) {
      const document = batch.offsets.findLastIndex((offset) => offset <= wrong);
      throw runFailure.lossNotFinite(model.dir, `the loss of document ${batch.firstDocument + document + 1} is ${losses[wrong]}`);
    }
    total = losses.reduce((sum, loss) => sum + loss, total);
  }
  return total;
}

/** −log p of the token behind each token, given its document up to there; the head is run on as many rows at a time as the logits leave room for. */
async function batchLosses(
  rows: CalibrationRows,
  index: number,
  batch: TokenBatch,
  weights: WeightSource,
  n_rows: number,
): Promise<Float64Array> {
  using hidden = rows.cache.get(index);
  using normed = rows.model.finalNorm(hidden, weights);
  using targets = rows.device.fromInts([batch.nTokens], nextTokens(batch));
  const losses = new Float64Array(batch.nTokens);
  for (let begin = 0; begin < batch.nTokens; begin += n_rows) {
    const length = Math.min(n_rows, batch.nTokens - begin);
    using states = narrow(normed, begin, length);
    using wanted = narrow(targets, begin, length);
    using logits = rows.model.logits(states, weights, null);
    using part = crossEntropy(logits, wanted);
    losses.set(await part.readDoubles(), begin);
  }
  return losses;
}

/** The last token of a document predicts nothing: −1. */
function nextTokens({ tokens, offsets }: TokenBatch): Int32Array {
  const next = new Int32Array(tokens.length);
  next.set(tokens.subarray(1));
  for (const end of offsets.slice(1)) next[end - 1] = -1;
  return next;
}

function partLoader(devices: readonly Device[], model: ModelDescription) {
  const tensors = modelTensors(model);
  return (isWanted: (name: string) => boolean): Promise<WeightCopies> =>
    loadCopies(
      devices,
      (device) => openTensorReader(device, tensors),
      isWanted,
      (module) => model.quantization?.layers[module] ?? null,
    );
}
