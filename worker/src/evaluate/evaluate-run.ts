// What `evaluate` of a recipe asks for, on the written file and on the model before, read as any reader would. Each figure is kept as soon as it is
// known, so that the report of a run that stops has those. Perplexity runs on all devices of the run, the others on its first.
import { depthOperations } from '../../../schemas/src/depth-operations.js';
import path from 'node:path';
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { ErrorDepth, RunProblem, RunReport } from '../../../schemas/src/generated/report.js';
import { writeDurably } from '../checkpoint/durable-file.js';
import { evaluationOperations, type EvaluationKind } from '../jobs/evaluation-estimate.js';
import { availableMemory } from '../jobs/memory-estimate.js';
import type { MemoryGovernor } from '../memory/memory-governor.js';
import { Sidecar } from '../report/sidecar.js';
import { asRunFailure, isCancellation, type RunContext } from '../run-context.js';
import { measureDepth } from './error-depth.js';
import { measureGeneration } from './generation.js';
import { measureDivergence } from './kl-divergence.js';
import type { EvaluationWatch } from './model-pass.js';
import { measureMultipleChoice } from './multiple-choice.js';
import { measurePerplexity } from './perplexity.js';

export type Quality = NonNullable<RunReport['quality']>;

/** Measures the checkpoint first: it is what nobody has seen yet. */
export async function evaluateRun(
  context: RunContext,
  governor: MemoryGovernor,
  /** What was written: with its adapter where it has one, and then without it too. */
  { whole: file, withoutAdapter }: { whole: ModelDescription; withoutAdapter: ModelDescription | null },
  keep: (quality: Quality) => void,
): Promise<void> {
  const { device, devices, plan } = context;
  const available = availableMemory(plan);
  if (plan.evaluate === null) return;
  const { perplexity, kl_divergence, multiple_choice, generation } = plan.evaluate;
  let quality: Quality = { before: null, after: null, kl_divergence: null, multiple_choice: null, generation: null };
  const known = (part: Partial<Quality>): void => keep((quality = { ...quality, ...part }));
  const sides = [
    ['after', file, 'the written checkpoint'],
    ['before', context.given.model, 'the model before'],
  ] as const;
  for (const [side, model, what] of sides) {
    // Both are measured on one text: its findings are told once.
    const measure = <T>(kind: EvaluationKind, title: string, work: (watch: EvaluationWatch) => Promise<T>): Promise<T> =>
      staged(context, kind, 2, `${title}${what}`, side === 'after', work);
    if (perplexity !== null)
      known({
        [side]: await measure('perplexity', '', (watch) => measurePerplexity(model, perplexity, devices, watch, governor, available)),
      });
    if (multiple_choice !== null) {
      const scores = await measure('multiple_choice', 'multiple choice, ', async (watch) =>
        withoutDetails(await measureMultipleChoice(model, multiple_choice, device, watch), 'scored'),
      );
      known({ multiple_choice: { before: null, after: null, ...quality.multiple_choice, [side]: scores } });
    }
    if (generation !== null) {
      const scores = await measure('generation', 'generation, ', async (watch) =>
        withoutDetails(await measureGeneration(model, generation, device, watch), 'answers'),
      );
      known({ generation: { before: null, after: null, ...quality.generation, [side]: scores } });
    }
  }
  if (perplexity !== null && withoutAdapter !== null) {
    const bare = (watch: EvaluationWatch) => measurePerplexity(withoutAdapter, perplexity, devices, watch, governor, available);
    known({ without_adapter: await staged(context, 'perplexity', 2, 'the written checkpoint without its adapter', false, bare) });
  }
  if (kl_divergence !== null) {
    const compare = (watch: EvaluationWatch) =>
      measureDivergence({ original: context.given.model, quantized: file }, kl_divergence, device, watch, governor, available);
    known({ kl_divergence: await staged(context, 'kl_divergence', 1, 'the written checkpoint against the model before', true, compare) });
  }
}

/** Null where it could not be measured, which is told: the file stands, and its figures do not depend on it. */
export async function depthOfRun(
  context: RunContext,
  governor: MemoryGovernor,
  written: ModelDescription,
  dataset: DatasetPlan,
): Promise<ErrorDepth | null> {
  const { plan, device, runDir, transforms } = context;
  const what = 'the error through depth';
  const watch: EvaluationWatch = {
    onProgress: advancing(context, depthOperations(plan), `measuring ${what}`),
    // Of the rows all was told where they were used whole.
    onProblem: () => undefined,
    throwIfCancelled: () => context.throwIfCancelled(),
  };
  const availableBytes = availableMemory(plan);
  const sidecar = new Sidecar('blocks/depth.arrays.bin');
  try {
    return await context.stage('evaluate', null, what, async () => {
      const depth = await measureDepth({
        original: plan.model,
        written,
        transforms,
        runDir,
        dataset,
        device,
        governor,
        availableBytes,
        watch,
        sidecar,
      });
      await writeDurably(path.join(runDir, sidecar.file), sidecar.chunks, 'the pictures of the inputs');
      return depth;
    });
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { message } = asRunFailure(error);
    context.problem({
      code: 'depth-not-measured',
      severity: 'warning',
      message: `Where the error arises in the model could not be measured: ${message} The checkpoint and all other figures stand; the report has no picture of the error through depth.`,
      layer: null,
      recipe_path: null,
    });
    return null;
  }
}

function staged<T>(
  context: RunContext,
  kind: EvaluationKind,
  n_times: number,
  what: string,
  tellsProblems: boolean,
  work: (watch: EvaluationWatch) => Promise<T>,
): Promise<T> {
  const operations = evaluationOperations(context.plan, kind) / n_times;
  const watch: EvaluationWatch = {
    onProgress: advancing(context, operations, `evaluating ${what}`),
    onProblem: (problem: RunProblem) => {
      if (tellsProblems) context.problem(problem);
    },
    throwIfCancelled: () => context.throwIfCancelled(),
  };
  return context.stage('evaluate', null, what, () => work(watch));
}

/** The report has the score; question by question it is for tests. */
function withoutDetails<T extends object, K extends keyof T>(measured: T, details: K): Omit<T, K> {
  const { [details]: _, ...rest } = measured;
  return rest;
}

/** Hears what fraction of the operations is done; the run advances by what is new of it. */
function advancing(context: RunContext, operations: number, message: string): (fraction: number) => void {
  let done = 0;
  return (fraction) => {
    context.advance((fraction - done) * operations, message);
    done = fraction;
  };
}
