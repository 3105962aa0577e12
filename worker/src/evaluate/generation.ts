// Greedy generation with exact match of the number in the answer, as lm-eval's gsm8k: the prompt is cut from the left to leave room for
// max_gen_toks, an answer ends at EOS, at one of the stops or at max_gen_toks, and what stands behind the first stop is not looked at.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { GenerationPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { Generation } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { withBos } from '../calibration/token-batches.js';
import { openTokenizer } from '../calibration/tokenizer.js';
import type { Device } from '../tensor/tensor.js';
import { flexibleAnswer, isExactMatch, strictAnswer } from './exact-match.js';
import { decodeGreedily } from './greedy-decoding.js';
import type { EvaluationWatch } from './model-pass.js';
import { meanOf } from './statistics.js';
import { generationPrompts, generationStops } from './task-prompts.js';
import { readExamples, readQuestions } from './task-rows.js';

export async function measureGeneration(
  model: ModelDescription,
  plan: GenerationPlan,
  device: Device,
  watch: EvaluationWatch,
): Promise<Generation & { answers: string[] }> {
  const began = performance.now();
  const rows = (await readQuestions(plan.dataset)).slice(0, plan.num_samples ?? undefined);
  const examples = await readExamples(plan.fewshot_dataset, plan.num_fewshot, readQuestions);
  const tokenizer = await openTokenizer(model.dir);
  const room = (model.architecture?.max_position_embeddings ?? Infinity) - plan.max_gen_toks;
  if (room < 1)
    throw runFailure.datasetInvalid(
      plan.dataset.file,
      null,
      `max_gen_toks ${plan.max_gen_toks} leaves no token of the model's context of ${model.architecture?.max_position_embeddings} to a prompt; lower it`,
    );
  let truncated = 0;
  const prompts = generationPrompts(rows, examples, plan.description).map((text) => {
    const ids = withBos(tokenizer.encode(text), tokenizer, model);
    if (ids.length <= room) return Int32Array.from(ids);
    truncated += 1;
    return Int32Array.from(ids.slice(-room));
  });
  const ends = await endTokens(model);
  const isEnded = (_: number, generated: readonly number[]): boolean =>
    ends.has(generated.at(-1) ?? -1) || generationStops.some((stop) => tokenizer.decode(generated).includes(stop));
  const onProgress = (fraction: number): void => {
    watch.throwIfCancelled();
    watch.onProgress(Math.min(1, fraction));
  };
  const generated = await decodeGreedily({ model, device, prompts, most: plan.max_gen_toks, isEnded, onProgress });
  const answers = generated.map((tokens) => {
    const text = tokenizer.decode(tokens.filter((token) => !ends.has(token)));
    return generationStops.reduce((left, stop) => left.split(stop)[0] ?? '', text);
  });
  const shareOf = (extract: (text: string) => string) =>
    meanOf(Float64Array.from(rows, ({ answer }, at) => Number(isExactMatch(extract(answers[at] ?? ''), answer))));
  const [strict, flexible] = [shareOf(strictAnswer), shareOf(flexibleAnswer)];
  return {
    dataset: plan.dataset.file,
    questions: rows.length,
    exact_match_strict: strict.mean,
    exact_match_strict_stderr: strict.stderr,
    exact_match_flexible: flexible.mean,
    exact_match_flexible_stderr: flexible.stderr,
    tokens: generated.reduce((sum, tokens) => sum + tokens.length, 0),
    truncated,
    seconds: (performance.now() - began) / 1000,
    answers,
  };
}

/** What ends an answer: EOS of config.json and of generation_config.json, where chat models name more. */
async function endTokens(model: ModelDescription): Promise<Set<number>> {
  const file = path.join(model.dir, 'generation_config.json');
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw runFailure.fileUnreadable(file, error.message);
  });
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw runFailure.fileUnreadable(file, error instanceof Error ? error.message : String(error));
  }
  const named = (config as { eos_token_id?: unknown } | null)?.eos_token_id;
  const more = (Array.isArray(named) ? named : [named]).filter((id): id is number => Number.isInteger(id));
  return new Set([...model.eos_token_id, ...more]);
}
