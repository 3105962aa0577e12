// Multiple choice by log-likelihood, as lm-eval scores it: acc takes the choice with the highest ln P(choice | prompt), acc_norm the one with the
// highest ln P per character. Choices of one prompt that differ in their last token alone share one pass of the model.
import type { ModelDescription, MultipleChoicePlan } from '../../../schemas/src/generated/plan.js';
import type { MultipleChoice } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { CalibrationRows } from '../calibration/calibrate-block.js';
import { batchDocuments, withBos } from '../calibration/token-batches.js';
import { openTokenizer, type TextTokenizer } from '../calibration/tokenizer.js';
import type { WeightSource } from '../models/model.js';
import { crossEntropy, embedding } from '../tensor/operations/forward.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import { countTokens, partLoader, rowsAtATime, withHiddenStates, type EvaluationWatch } from './model-pass.js';
import { meanOf } from './statistics.js';
import { choicePrompts, type ChoicePrompt } from './task-prompts.js';
import { readChoices, readExamples } from './task-rows.js';

/** A document that the model reads, and what is asked of it: the tokens behind some of its positions. */
interface Reading {
  tokens: Int32Array;
  asked: { position: number; token: number; sum: Sum }[];
}

/** ln P of one choice. */
interface Sum {
  logLikelihood: number;
}

export interface ScoredQuestion {
  /** ln P(choice | prompt), nats. */
  logLikelihoods: number[];
  acc: boolean;
  accNorm: boolean;
}

export async function measureMultipleChoice(
  model: ModelDescription,
  plan: MultipleChoicePlan,
  device: Device,
  watch: EvaluationWatch,
): Promise<MultipleChoice & { scored: ScoredQuestion[] }> {
  const rows = (await readChoices(plan.dataset)).slice(0, plan.num_samples ?? undefined);
  const examples = await readExamples(plan.fewshot_dataset, plan.num_fewshot, readChoices);
  const prompts = choicePrompts(rows, examples, plan.description, plan.answers);
  const tokenizer = await openTokenizer(model.dir);
  const limit = model.architecture?.max_position_embeddings ?? Infinity;
  const readings = new Map<string, Reading>();
  let truncated = 0;
  const sums = prompts.map((prompt) => {
    const pairs = prompt.continuations.map((continuation) => encodePair(prompt.context, continuation, tokenizer, model));
    if (pairs.some(({ context, continuation }) => context.length + continuation.length > limit + 1)) truncated += 1;
    return pairs.map((pair) => ask(readings, pair, limit, plan.dataset.file));
  });
  await readAll([...readings.values()], model, device, watch);
  const scored = prompts.map((prompt, index) => score(prompt, sums[index] ?? []));
  const wrong = scored.findIndex(({ logLikelihoods }) => !logLikelihoods.every(Number.isFinite));
  if (wrong >= 0)
    throw runFailure.lossNotFinite(
      model.dir,
      `the log-likelihoods of question ${wrong + 1} are ${scored[wrong]?.logLikelihoods.join(', ')}`,
    );
  const acc = meanOf(Float64Array.from(scored, ({ acc }) => Number(acc)));
  const accNorm = meanOf(Float64Array.from(scored, ({ accNorm }) => Number(accNorm)));
  return {
    dataset: plan.dataset.file,
    questions: rows.length,
    acc: acc.mean,
    acc_stderr: acc.stderr,
    acc_norm: accNorm.mean,
    acc_norm_stderr: accNorm.stderr,
    truncated,
    scored,
  };
}

interface TokenPair {
  context: number[];
  continuation: number[];
}

/** The choice is what the whole has behind the prompt's own tokens, so that a tokenizer that joins both is followed as lm-eval does. */
function encodePair(context: string, continuation: string, tokenizer: TextTokenizer, model: ModelDescription): TokenPair {
  const encode = (text: string): number[] => withBos(tokenizer.encode(text), tokenizer, model);
  const ids = encode(context);
  return { context: ids, continuation: encode(context + continuation).slice(ids.length) };
}

/** Cut from the left to the context of the model; the last token is asked for and not read. */
function ask(readings: Map<string, Reading>, { context, continuation }: TokenPair, limit: number, file: string): Sum {
  if (continuation.length === 0 || continuation.length > limit)
    throw runFailure.datasetInvalid(
      file,
      null,
      `a choice has ${continuation.length} tokens, and the model's context of ${limit} must hold at least one and all of them`,
    );
  const whole = [...context, ...continuation].slice(limit === Infinity ? 0 : -(limit + 1));
  const tokens = Int32Array.from(whole.slice(0, -1));
  const key = tokens.join();
  const reading = readings.get(key) ?? { tokens, asked: [] };
  readings.set(key, reading);
  const sum: Sum = { logLikelihood: 0 };
  continuation.forEach((token, index) => reading.asked.push({ position: tokens.length - continuation.length + index, token, sum }));
  return sum;
}

async function readAll(readings: readonly Reading[], model: ModelDescription, device: Device, watch: EvaluationWatch): Promise<void> {
  using tokens = batchDocuments(
    readings.map((reading) => reading.tokens),
    [device],
  );
  const { onTokens } = countTokens(watch, tokens, [model]);
  await withHiddenStates({ model, devices: [device], tokens, onTokens }, async ({ parts: [rows] }) => {
    using head = await partLoader(device, model)((name) => rows.model.headTensors.includes(name));
    let first = 0;
    for (const [index, batch] of rows.batches.entries()) {
      const inBatch = readings.slice(first, (first += batch.offsets.length - 1));
      const asked = inBatch.flatMap((reading, document) =>
        reading.asked.map((one) => ({ ...one, position: one.position + (batch.offsets[document] ?? 0) })),
      );
      await answer(rows, index, head, asked, rowsAtATime(model.architecture?.vocab_size ?? 1));
      rows.onBatch(batch);
    }
  });
}

async function answer(rows: CalibrationRows, index: number, head: WeightSource, asked: Reading['asked'], n_rows: number): Promise<void> {
  using hidden = rows.cache.get(index);
  using normed = rows.model.finalNorm(hidden, head);
  for (let begin = 0; begin < asked.length; begin += n_rows) {
    const part = asked.slice(begin, begin + n_rows);
    const ints = (value: (one: Reading['asked'][number]) => number): Tensor =>
      rows.device.fromInts([part.length], Int32Array.from(part, value));
    using positions = ints(({ position }) => position);
    using targets = ints(({ token }) => token);
    // The hidden states of the positions, by the operation that copies rows of a table.
    using states = embedding(normed, positions);
    using logits = rows.model.logits(states, head, null);
    using losses = crossEntropy(logits, targets);
    (await losses.readDoubles()).forEach((loss, at) => {
      const one = part[at];
      if (one !== undefined) one.sum.logLikelihood -= loss;
    });
  }
}

function score({ lengths, answer }: ChoicePrompt, sums: readonly Sum[]): ScoredQuestion {
  const logLikelihoods = sums.map(({ logLikelihood }) => logLikelihood);
  // The first of equals, as numpy's argmax.
  const best = (values: readonly number[]): number => values.indexOf(Math.max(...values));
  return {
    logLikelihoods,
    acc: best(logLikelihoods) === answer,
    accNorm: best(logLikelihoods.map((value, at) => value / (lengths[at] ?? NaN))) === answer,
  };
}
