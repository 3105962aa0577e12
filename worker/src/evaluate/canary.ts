// The canary of a run: a few rows through the blocks as quantized so far and the rest of the model as it was, against the model as it is. Behind every
// n-th block, once it is finished on the disk; the run stops where the mean KL divergence passes the limit.
//
//   P, Q   next-token distributions of the model and of the half-quantized one, as in kl-divergence.ts, by the same heads
//
// Three states of the rows are kept: behind the last block of the model, behind the last block that is quantized, and those that are measured. What was
// measured before an interruption is read from the run folder, and the rows begin only where something is left to measure. Nothing here decides a byte
// of the result: where memory runs out, the calibration is never cut for it.
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import type { CanaryPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { CanaryFigure, LayerMetrics } from '../../../schemas/src/generated/report.js';
import { runFailure, RunFailureError } from '../../../schemas/src/run-failure.js';
import { embedRows, propagateBlock } from '../calibration/calibrate-block.js';
import { SpreadRows } from '../calibration/spread-rows.js';
import { loadTokenBatches, type TokenBatches } from '../calibration/token-batches.js';
import { writeTextDurably } from '../checkpoint/durable-file.js';
import { loadWeights, type SchemeOf } from '../checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader, type TensorReader } from '../checkpoint/tensor-reader.js';
import { availableMemory } from '../jobs/memory-estimate.js';
import { forwardOperations } from '../jobs/operations-estimate.js';
import type { WrittenModel } from '../jobs/written-model.js';
import { activationBudget, partOf } from '../memory/activation-budget.js';
import type { GovernedWork, MemoryGovernor } from '../memory/memory-governor.js';
import type { RunContext } from '../run-context.js';
import { compareHeads, TokenFigures } from './kl-divergence.js';
import { predictedTokens } from './perplexity.js';

const canaryFile = (runDir: string): string => path.join(runDir, 'canary.json');
/** For hidden states that do not fit. */
const rowsFolder = (runDir: string): string => path.join(runDir, 'canary');

interface Weights {
  reader: TensorReader;
  schemeOf: SchemeOf;
}

interface HeldRows extends Disposable {
  rows: SpreadRows;
}

export class Canary implements AsyncDisposable {
  private readonly figures: CanaryFigure[] = [];
  private before: HeldRows | null = null;
  private here: HeldRows | null = null;
  private n_passed = 0;
  private isOff = false;

  private constructor(
    private readonly context: RunContext,
    private readonly plan: CanaryPlan,
    private readonly governor: MemoryGovernor,
    private readonly written: WrittenModel,
    private readonly tokens: TokenBatches,
    private readonly known: ReadonlyMap<number, CanaryFigure>,
  ) {}

  /** null where the plan has none. Its text is read at once, so that what is wrong with it stops the run before its work. */
  static async open(context: RunContext, governor: MemoryGovernor, written: WrittenModel): Promise<Canary | null> {
    const { canary } = context.plan;
    if (canary === undefined) return null;
    const tokens = await context.stage('canary', null, 'tokenizing', () =>
      loadTokenBatches(canary.dataset, context.given.model, [context.device], { recipePath: ['canary'] }),
    );
    try {
      predictedTokens(tokens, canary.dataset);
      // Rows are cut by design.
      for (const problem of tokens.problems) if (problem.code !== 'rows-truncated') context.problem(problem);
      return new Canary(context, canary, governor, written, tokens, await knownFigures(context.runDir, canary));
    } catch (error) {
      tokens[Symbol.dispose]();
      throw error;
    }
  }

  /** Multiply-adds of what is left to measure. */
  get operations(): number {
    const { context, n_blocks, tokens, known } = this;
    const due = Array.from({ length: n_blocks }, (_, block) => block).filter((block) => this.isDue(block) && !known.has(block));
    const last = due.at(-1);
    if (last === undefined) return 0;
    let total = 0;
    for (let block = 0; block < n_blocks; block += 1) {
      const n_passes = 1 + (block <= last ? 1 : 0) + due.filter((measured) => measured < block).length;
      total += n_passes * forwardOperations(context.plan, block, tokens.nTokens);
    }
    return total;
  }

  /** To be called when a block is finished on the disk; throws where the model behind it has come too far. */
  async after(block: number | null): Promise<void> {
    if (block === null || !this.isDue(block) || this.isOff) return;
    const figure = this.known.get(block) ?? (await this.measured(block));
    if (figure === null) return;
    this.figures.push(figure);
    if (!this.known.has(block)) await this.keep();
    this.context.canaryMeasured(figure);
    if (figure.mean_kld > this.plan.max_mean_kld) throw this.alarm(block, figure);
  }

  private async measured(block: number): Promise<CanaryFigure | null> {
    const { context } = this;
    try {
      return await context.stage('canary', null, `behind block ${block}`, async () => {
        await this.reach(block);
        return await this.measure(block);
      });
    } catch (error) {
      if (!(error instanceof RunFailureError)) throw error;
      if (error.failure.code === 'loss-not-finite') throw this.alarm(block, null);
      if (error.failure.code !== 'memory-too-small') throw error;
      this.isOff = true;
      this.release();
      context.problem({
        code: 'canary-not-measured',
        severity: 'warning',
        message: `The canary behind block ${block} could not be measured, and is not from here on: ${error.message} The run goes on without it, to the same bytes.`,
        layer: null,
        recipe_path: ['canary'],
      });
      return null;
    }
  }

  /** The rows stand behind the block, as written, and behind the last block of the model. */
  private async reach(block: number): Promise<void> {
    const { given, plan } = this.context;
    if (this.before === null) {
      this.before = this.hold('before', given.model);
      await this.embed(this.before.rows, asItIs(this.context, given.model));
      await this.pass(this.before.rows, 0, this.n_blocks, asItIs(this.context, given.model));
    }
    const written = { reader: this.written.reader(this.context.device), schemeOf: this.written.schemeOf() };
    if (this.here === null) {
      this.here = this.hold('here', plan.model);
      await this.embed(this.here.rows, written);
    }
    await this.pass(this.here.rows, this.n_passed, block + 1, written);
    this.n_passed = block + 1;
  }

  private async measure(block: number): Promise<CanaryFigure> {
    const { context, governor, tokens, before, here } = this;
    if (before === null || here === null) throw new Error('The canary was measured before its rows had come there.');
    const { given, plan } = context;
    using half = this.hold('half', plan.model);
    await using _ = { [Symbol.asyncDispose]: () => half.rows.removeFiles() };
    const [[from], [to], [model]] = [here.rows.parts, half.rows.parts, before.rows.parts];
    await governor.survive(this.work(`the canary behind block ${block}`), async () => {
      for (const index of tokens.batches.keys()) await to.cache.put(index, from.cache.get(index), block + 1);
    });
    await this.pass(half.rows, block + 1, this.n_blocks, asItIs(context, plan.model));
    const kept = new TokenFigures(predictedTokens(tokens, this.plan.dataset));
    const work = { ...this.work('the heads of the canary'), hasLogits: true, rewind: () => void (kept.count = 0) };
    await governor.survive(work, () =>
      compareHeads(model, to, { original: given.model, quantized: plan.model }, kept, null, governor.logitsAtATime),
    );
    const { mean_kld, kld_stderr, same_top } = kept.summary();
    return { block, mean_kld, kld_stderr, same_top, tokens: kept.count };
  }

  private async embed(rows: SpreadRows, { reader, schemeOf }: Weights): Promise<void> {
    const [part] = rows.parts;
    await this.governor.survive(this.work('the embedding of the canary'), async () => {
      using weights = await loadWeights(reader, (name) => part.model.embeddingTensors.includes(name), schemeOf);
      await embedRows(part, weights);
    });
  }

  private async pass(rows: SpreadRows, first: number, end: number, { reader, schemeOf }: Weights): Promise<void> {
    const { context, tokens } = this;
    const [part] = rows.parts;
    for (let block = first; block < end; block += 1) {
      await this.governor.survive(this.work(`block ${block} for the canary`), async () => {
        using weights = await loadWeights(reader, (name) => name.startsWith(`${this.layers}.${block}.`), schemeOf);
        await propagateBlock(part, block, weights);
      });
      context.advance(forwardOperations(context.plan, block, tokens.nTokens), 'measuring the canary');
    }
  }

  private hold(name: string, model: ModelDescription): HeldRows {
    const { context, tokens, governor } = this;
    const available = availableMemory(context.plan);
    const rows = new SpreadRows({
      tokens,
      devices: [context.device],
      model,
      purpose: 'The canary',
      dir: path.join(rowsFolder(context.runDir), name),
      budgetOf: (device, n_used) => partOf(activationBudget(device, n_used, model, [], available, tokens.largest, 2), 3),
      onBatch: () => context.throwIfCancelled(),
    });
    const held = governor.hold({ tokens, rows, keepsBatches: true });
    return {
      rows,
      [Symbol.dispose]: () => {
        held[Symbol.dispose]();
        rows[Symbol.dispose]();
      },
    };
  }

  private readonly work = (stage: string): GovernedWork => ({ stage, sparesBatches: true });

  private isDue(block: number): boolean {
    return (block + 1) % this.plan.every === 0;
  }

  private get n_blocks(): number {
    return this.context.given.model.architecture?.num_hidden_layers ?? 0;
  }

  private get layers(): string {
    return this.context.given.model.architecture?.layers ?? '';
  }

  private async keep(): Promise<void> {
    const { context, plan, figures } = this;
    await writeTextDurably(canaryFile(context.runDir), `${JSON.stringify({ dataset: plan.dataset, figures }, null, 1)}\n`);
  }

  /** `figure` null: the divergence is not a number. */
  private alarm(block: number, figure: CanaryFigure | null): RunFailureError {
    const { context, plan, figures } = this;
    const value = figure === null ? 'not a number' : `${shown(figure.mean_kld)} nats`;
    const last = figures.findLast((one) => one.block < block);
    context.problem({
      code: 'canary-stopped',
      severity: 'error',
      message: `max_mean_kld: the mean KL divergence of the model with blocks 0 to ${block} quantized is ${value}, at most ${shown(plan.max_mean_kld)} nats are wanted.`,
      layer: null,
      recipe_path: ['canary', 'max_mean_kld'],
    });
    return runFailure.canaryStopped({
      block,
      n_blocks: this.n_blocks,
      value,
      limit: `${shown(plan.max_mean_kld)} nats`,
      before: last === undefined ? null : `${shown(last.mean_kld)} nats behind block ${last.block}`,
      text: plan.dataset.dataset,
      worst: worstText(context.layers),
      dir: context.given.output.dir,
    });
  }

  private release(): void {
    this.before?.[Symbol.dispose]();
    this.here?.[Symbol.dispose]();
    [this.before, this.here, this.n_passed] = [null, null, 0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    this.tokens[Symbol.dispose]();
    await rm(rowsFolder(this.context.runDir), { recursive: true, force: true });
  }
}

const asItIs = ({ device }: RunContext, model: ModelDescription): Weights => ({
  reader: openTensorReader(device, modelTensors(model)),
  schemeOf: () => null,
});

const shown = (value: number): string => String(Number(value.toPrecision(6)));

/** By the error of its outputs, else of its weight. */
function worstText(layers: readonly LayerMetrics[]): string | null {
  const of = ({ relative_output_error, weight_sqnr_db }: LayerMetrics): number =>
    relative_output_error ?? (weight_sqnr_db === null ? -Infinity : 10 ** (-weight_sqnr_db / 10));
  const worst = layers.reduce<LayerMetrics | null>((most, layer) => (most === null || of(layer) > of(most) ? layer : most), null);
  if (worst === null || of(worst) === -Infinity) return null;
  const figure = worst.relative_output_error === null ? 'relative weight error' : 'relative output error';
  return `${worst.name} (${worst.scheme ?? 'unquantized'}, ${figure} ${shown(of(worst))})`;
}

/** By block, where they are of the same rows. The work of the folder is the same: it begins anew otherwise, without this file. */
async function knownFigures(runDir: string, { dataset }: CanaryPlan): Promise<Map<number, CanaryFigure>> {
  try {
    const kept = JSON.parse(await readFile(canaryFile(runDir), 'utf8')) as { dataset: unknown; figures: CanaryFigure[] };
    const isSame = JSON.stringify(kept.dataset) === JSON.stringify(dataset);
    return new Map(isSame ? kept.figures.map((figure) => [figure.block, figure]) : []);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return new Map();
    throw error;
  }
}
