// The written file against the original model, token by token, with the definitions of llama.cpp's perplexity tool (--kl-divergence).
//
//   P, Q   next-token distributions of the original and of the file, given the document up to there
//   KLD    KL(P ‖ Q) = Σ P (ln P − ln Q), nats
//   Δp     Q(token) − P(token) of the token that stands in the text
//
// Differences: every predicted token of a document counts (llama.cpp: the second half of each window of n_ctx tokens), and P is not rounded
// (llama.cpp keeps it in 16 bits). Both models run to the last hidden state; then both heads run on the same few rows at a time, so that no more
// logits are alive than for perplexity, twice. Kept per token: KLD, Δp, both logarithms and the agreement, 40 bytes.
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { KlDivergence } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { CalibrationRows } from '../calibration/calibrate-block.js';
import { loadTokenBatches } from '../calibration/token-batches.js';
import { manyLogits, MemoryGovernor } from '../memory/memory-governor.js';
import type { TokenBatch, WeightSource } from '../models/model.js';
import { logitDivergence } from '../tensor/operations/forward.js';
import { narrow, reshape } from '../tensor/operations/storage.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import { countTokens, nextTokens, partLoader, rowsAtATime, withHiddenStates, type EvaluationWatch } from './model-pass.js';
import { predictedTokens } from './perplexity.js';
import { meanOf, percentilesOf } from './statistics.js';

export interface ComparedModels {
  original: ModelDescription;
  /** The file that is judged; its tokenizer is the original's. */
  quantized: ModelDescription;
}

export async function measureDivergence(
  { original, quantized }: ComparedModels,
  dataset: DatasetPlan,
  device: Device,
  watch: EvaluationWatch,
  governor = new MemoryGovernor([device], (problem) => watch.onProblem(problem)),
  availableBytes?: number,
): Promise<KlDivergence> {
  using tokens = await loadTokenBatches(dataset, original, [device], {
    batchTokens: governor.batchTokens,
    recipePath: ['evaluate', 'kl_divergence'],
  });
  tokens.problems.forEach((problem) => watch.onProblem(problem));
  const kept = new TokenFigures(predictedTokens(tokens, dataset));
  const { onTokens, rewindToHeads } = countTokens(watch, tokens, [original, quantized]);
  const rewind = (): void => {
    rewindToHeads();
    kept.count = 0;
  };
  const input = { devices: [device], tokens, governor, availableBytes, n_heads: 2, onTokens };
  await withHiddenStates({ ...input, model: original }, ({ parts: [before] }) =>
    withHiddenStates({ ...input, model: quantized }, ({ parts: [after] }) =>
      governor.survive({ stage: 'both heads', hasLogits: true, rewind }, () =>
        compareHeads(before, after, { original, quantized }, kept, null, governor.logitsAtATime),
      ),
    ),
  );
  return { dataset: dataset.dataset, tokens: kept.count, documents: tokens.nDocuments, ...kept.summary() };
}

/** What is kept of each predicted token. */
export class TokenFigures {
  private readonly kld: Float64Array;
  private readonly deltaP: Float64Array;
  private readonly logP: Float64Array;
  private readonly logQ: Float64Array;
  private readonly sameTop: Float64Array;
  count = 0;

  constructor(n: number) {
    [this.kld, this.deltaP, this.logP, this.logQ, this.sameTop] = Array.from({ length: 5 }, () => new Float64Array(n)) as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
  }

  add(kld: number, logP: number, logQ: number, sameTop: number): void {
    const at = this.count;
    this.kld[at] = kld;
    this.logP[at] = logP;
    this.logQ[at] = logQ;
    this.deltaP[at] = Math.exp(logQ) - Math.exp(logP);
    this.sameTop[at] = sameTop;
    this.count += 1;
  }

  summary(): Omit<KlDivergence, 'dataset' | 'tokens' | 'documents'> {
    const kld = meanOf(this.kld);
    const same = meanOf(this.sameTop);
    const ratio = meanOf(this.logP.map((value, at) => value - (this.logQ[at] ?? NaN)));
    return {
      mean_kld: kld.mean,
      kld_stderr: kld.stderr,
      kld: percentilesOf(this.kld),
      mean_delta_p: meanOf(this.deltaP).mean,
      rms_delta_p: Math.sqrt(meanOf(this.deltaP.map((value) => value * value)).mean),
      delta_p: percentilesOf(this.deltaP),
      same_top: same.mean,
      same_top_stderr: same.stderr,
      perplexity_original: Math.exp(-meanOf(this.logP).mean),
      perplexity: Math.exp(-meanOf(this.logQ).mean),
      mean_ln_ratio: ratio.mean,
      ln_ratio_stderr: ratio.stderr,
    };
  }
}

/** Both heads on the last hidden states of both; `replaced` stands in place of a weight of the second head. */
export async function compareHeads(
  before: CalibrationRows,
  after: CalibrationRows,
  models: ComparedModels,
  kept: TokenFigures,
  replaced: { tensorName: string; What: Tensor } | null = null,
  logitsAtATime = manyLogits,
): Promise<void> {
  using headP = await partLoader(before.device, models.original)((name) => before.model.headTensors.includes(name));
  using headQ = await partLoader(after.device, models.quantized)((name) => after.model.headTensors.includes(name));
  if (replaced !== null) headQ.replace(replaced.tensorName, reshape(replaced.What, replaced.What.shape));
  let n_documents = 0;
  for (const [index, batch] of before.batches.entries()) {
    using p = normed(before, index, headP);
    using q = normed(after, index, headQ);
    const wrong = await compareBatch(
      [before, p, headP],
      [after, q, headQ],
      batch,
      rowsAtATime(models.original.architecture?.vocab_size ?? 1, logitsAtATime),
      kept,
    );
    if (wrong !== null) {
      const document = n_documents + 1 + batch.offsets.findLastIndex((offset) => offset <= wrong.row);
      throw runFailure.lossNotFinite(models.quantized.dir, `the divergence of document ${document} is ${wrong.value}`);
    }
    n_documents += batch.offsets.length - 1;
    after.onBatch(batch);
  }
}

function normed(rows: CalibrationRows, index: number, head: WeightSource): Tensor {
  using hidden = rows.cache.get(index);
  return rows.model.finalNorm(hidden, head);
}

type Side = readonly [CalibrationRows, Tensor, WeightSource];

async function compareBatch(
  p: Side,
  q: Side,
  batch: TokenBatch,
  n_rows: number,
  kept: TokenFigures,
): Promise<{ row: number; value: number } | null> {
  const next = nextTokens(batch);
  using targets = p[0].device.fromInts([batch.nTokens], next);
  const logitsOf = ([rows, states, head]: Side, begin: number, length: number): Tensor => {
    using part = narrow(states, begin, length);
    return rows.model.logits(part, head, null);
  };
  for (let begin = 0; begin < batch.nTokens; begin += n_rows) {
    const length = Math.min(n_rows, batch.nTokens - begin);
    using wanted = narrow(targets, begin, length);
    using logitsP = logitsOf(p, begin, length);
    using logitsQ = logitsOf(q, begin, length);
    using figures = logitDivergence(logitsP, logitsQ, wanted);
    const values = await figures.readDoubles();
    for (let row = 0; row < length; row += 1) {
      if ((next[begin + row] ?? -1) < 0) continue;
      const [kld = NaN, logP = NaN, logQ = NaN, sameTop = NaN] = values.subarray(4 * row, 4 * row + 4);
      if (!Number.isFinite(kld + logP + logQ)) return { row: begin + row, value: kld + logP + logQ };
      kept.add(kld, logP, logQ, sameTop);
    }
  }
  return null;
}
