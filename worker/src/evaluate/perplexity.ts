// Perplexity of a model folder on a text, quantized or not, block by block so that one block's weights are in memory at a time.
// Per document: BOS, cut at max_seq_length, exp of the total negative log-likelihood over all predicted tokens.
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { Perplexity } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { CalibrationRows } from '../calibration/calibrate-block.js';
import type { SpreadRows } from '../calibration/spread-rows.js';
import { loadTokenBatches, type TokenBatches } from '../calibration/token-batches.js';
import { MemoryGovernor } from '../memory/memory-governor.js';
import type { TokenBatch, WeightSource } from '../models/model.js';
import { crossEntropy } from '../tensor/operations/forward.js';
import { narrow } from '../tensor/operations/storage.js';
import type { Device } from '../tensor/tensor.js';
import { copiesLoader, countTokens, nextTokens, rowsAtATime, withHiddenStates, type EvaluationWatch } from './model-pass.js';

export async function measurePerplexity(
  model: ModelDescription,
  dataset: DatasetPlan,
  devices: readonly Device[],
  watch: EvaluationWatch,
  governor = new MemoryGovernor(devices, (problem) => watch.onProblem(problem)),
  availableBytes?: number,
): Promise<Perplexity> {
  using tokens = await loadTokenBatches(dataset, model, devices, {
    batchTokens: governor.batchTokens,
    recipePath: ['evaluate', 'perplexity'],
  });
  tokens.problems.forEach((problem) => watch.onProblem(problem));
  const n_predicted = predictedTokens(tokens, dataset);
  const { onTokens, rewindToHeads: rewind } = countTokens(watch, tokens, [model]);
  const nll = await withHiddenStates({ model, devices, tokens, governor, availableBytes, onTokens }, (rows) =>
    governor.survive({ stage: 'the head', hasLogits: true, rewind }, () => totalLoss(rows, model, governor.logitsAtATime)),
  );
  return { dataset: dataset.dataset, perplexity: Math.exp(nll / n_predicted), nll, tokens: n_predicted, documents: tokens.nDocuments };
}

/** All but the first token of each document. */
export function predictedTokens({ nTokens, nDocuments }: TokenBatches, { dataset }: DatasetPlan): number {
  if (nTokens > nDocuments) return nTokens - nDocuments;
  throw runFailure.datasetInvalid(dataset, null, `none of its ${nDocuments} documents has two tokens, so that there is nothing to predict`);
}

/** Losses are added in the order of the tokens, so that the sum is the same to the bit whatever the number of devices. */
async function totalLoss(rows: SpreadRows, model: ModelDescription, logitsAtATime: number): Promise<number> {
  const [{ model: decoder }] = rows.parts;
  const n_rows = rowsAtATime(model.architecture?.vocab_size ?? 1, logitsAtATime);
  using copies = await copiesLoader(rows.devices, model)((name) => decoder.headTensors.includes(name));
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
