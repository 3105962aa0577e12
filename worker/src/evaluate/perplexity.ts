// Perplexity of a model folder on a text, quantized or not, block by block so that one block's weights are in memory at a time.
// Per document: BOS, cut at max_seq_length, exp of the total negative log-likelihood over all predicted tokens.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { Perplexity, RunProblem } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { ActivationCache } from '../calibration/activation-cache.js';
import { embedRows, propagateBlock, type CalibrationRows } from '../calibration/calibrate-block.js';
import { loadTokenBatches } from '../calibration/token-batches.js';
import { loadWeights } from '../checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader } from '../checkpoint/tensor-reader.js';
import type { TokenBatch, WeightSource } from '../models/model.js';
import { openDecoder } from '../models/open-decoder.js';
import { crossEntropy, narrow } from '../tensor/operations.js';
import type { Device } from '../tensor/tensor.js';

export interface EvaluationWatch {
  /** Findings about the text: rows that were cut, and the like. */
  onProblem(problem: RunProblem): void;
  onProgress(fraction: number): void;
  /** Called between batches; throws to stop. */
  throwIfCancelled(): void;
}

/** Share of the free memory that hidden states may take before they go to files. */
const cacheShare = 0.4;
/** Logits in memory at a time: 64 MiB. */
const logitsAtATime = 1 << 24;

export async function measurePerplexity(
  model: ModelDescription,
  dataset: DatasetPlan,
  device: Device,
  watch: EvaluationWatch,
): Promise<Perplexity> {
  using tokens = await loadTokenBatches(dataset, model, device, ['evaluate', 'perplexity']);
  tokens.problems.forEach((problem) => watch.onProblem(problem));
  const n_predicted = tokens.nTokens - tokens.nDocuments;
  if (n_predicted === 0)
    throw runFailure.datasetInvalid(
      dataset.dataset,
      null,
      `none of its ${tokens.nDocuments} documents has two tokens, so that there is nothing to predict`,
    );
  using decoder = openDecoder(model, device, tokens.longest, 'Evaluation');
  const dir = await mkdtemp(path.join(os.tmpdir(), 'bitwright-evaluate-'));
  using cache = new ActivationCache(device, dir, os.freemem() * cacheShare);
  const n_steps = (decoder.nBlocks + 1) * tokens.nTokens;
  let done = 0;
  const onBatch = (batch: TokenBatch): void => {
    watch.throwIfCancelled();
    done += batch.nTokens;
    watch.onProgress(Math.min(1, done / n_steps));
  };
  const rows: CalibrationRows = { model: decoder, batches: tokens.batches, cache, device, onBatch };
  try {
    await passBlocks(rows, model);
    const nll = await totalLoss(rows, model);
    return { dataset: dataset.dataset, perplexity: Math.exp(nll / n_predicted), nll, tokens: n_predicted, documents: tokens.nDocuments };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function passBlocks(rows: CalibrationRows, model: ModelDescription): Promise<void> {
  const load = partLoader(rows.device, model);
  const quiet = { ...rows, onBatch: () => undefined };
  {
    using weights = await load((name) => rows.model.embeddingTensors.includes(name));
    await embedRows(quiet, weights);
  }
  for (let block = 0; block < rows.model.nBlocks; block += 1) {
    using weights = await load((name) => name.startsWith(`${model.architecture?.layers}.${block}.`));
    await propagateBlock(rows, block, weights);
  }
}

async function totalLoss(rows: CalibrationRows, model: ModelDescription): Promise<number> {
  using weights = await partLoader(rows.device, model)((name) => rows.model.headTensors.includes(name));
  let [total, n_before] = [0, 0];
  for (const [index, batch] of rows.batches.entries()) {
    const losses = await batchLosses(rows, index, batch, weights, model.architecture?.vocab_size ?? 1);
    const wrong = losses.findIndex((loss) => !Number.isFinite(loss));
    if (wrong >= 0) {
      const document = batch.offsets.findLastIndex((offset) => offset <= wrong);
      throw runFailure.lossNotFinite(model.dir, `the loss of document ${n_before + document + 1} is ${losses[wrong]}`);
    }
    total = losses.reduce((sum, loss) => sum + loss, total);
    n_before += batch.offsets.length - 1;
    rows.onBatch(batch);
  }
  return total;
}

/** −log p of the token behind each token, given its document up to there; the head is run on as many rows at a time as the logits leave room for. */
async function batchLosses(
  rows: CalibrationRows,
  index: number,
  batch: TokenBatch,
  weights: WeightSource,
  vocab_size: number,
): Promise<Float64Array> {
  using hidden = rows.cache.get(index);
  using normed = rows.model.finalNorm(hidden, weights);
  using targets = rows.device.fromInts([batch.nTokens], nextTokens(batch));
  const n_rows = Math.max(1, Math.floor(logitsAtATime / vocab_size));
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

function partLoader(device: Device, model: ModelDescription) {
  const reader = openTensorReader(device, modelTensors(model));
  return (isWanted: (name: string) => boolean) => loadWeights(reader, isWanted, (module) => model.quantization?.layers[module] ?? null);
}
