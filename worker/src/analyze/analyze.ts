// What quantizing each layer alone costs, for every number of bits: weights, outputs on the calibration rows and, where asked for, the predictions of the
// whole model. Block by block, as a run goes, but every layer sees the model as it is; transforms of the recipe are not applied.
//
// Cost: the rows pass through the model once, each layer is quantized once for every number of bits; end to end, each candidate of block b also costs the
// blocks from b on, so that a model of B blocks with c candidates in each runs about c · B / 2 times.
import { createHash } from 'node:crypto';
import path from 'node:path';
import { fisherCost, measuredText } from '../../../schemas/src/analysis-measures.js';
import type { DatasetPlan, LayerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import type { CandidateSensitivity } from '../../../schemas/src/generated/sensitivity.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { ActivationBudget } from '../calibration/activation-cache.js';
import { BlockStatistics } from '../calibration/block-statistics.js';
import { embedRows, observeBlock, observeHead, propagateBlock, type CalibrationRows } from '../calibration/calibrate-block.js';
import { SpreadRows } from '../calibration/spread-rows.js';
import { loadTokenBatches, usualBatch, type TokenBatches } from '../calibration/token-batches.js';
import { verifyModelFiles } from '../checkpoint/tensor-reader.js';
import type { NamedTensor } from '../checkpoint/formats/format.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { copiesLoader, partLoader } from '../evaluate/model-pass.js';
import { describeUnit, isStored, planUnits, type WorkUnit } from '../jobs/layer-jobs.js';
import { availableMemory, checkDisk, withinMemory } from '../jobs/memory-estimate.js';
import { stateOfModel } from '../jobs/model-state.js';
import { hessiansOf } from '../jobs/operations-estimate.js';
import { stepsOf } from '../jobs/quantized-so-far.js';
import { hashOfWork } from '../jobs/run-journal.js';
import { activationBudget, partOf } from '../memory/activation-budget.js';
import { MemoryGovernor } from '../memory/memory-governor.js';
import type { DecoderModel } from '../models/model.js';
import type { ObservedBatch } from '../observers/observer.js';
import { fusedWith } from '../quantizers/fused-linears.js';
import { HessianFactors } from '../quantizers/shared-hessian.js';
import { schemeText } from '../report/layer-metrics.js';
import { summary } from '../tensor/operations/metrics.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import { AnalysisJournal, type EndToEndFacts, type LayerFacts } from './analysis-journal.js';
import { measureCandidate, withBits } from './candidate.js';
import { checkAnalysis, type AskedAnalysis } from './check-analysis.js';
import { EndToEnd } from './end-to-end.js';
import { Fisher } from './fisher.js';
import type { GradientPassInput } from './gradient-pass.js';
import { HessianProbes } from './hessian-trace.js';
import { InputMoments } from './input-moments.js';
import { isThere, keepWeight } from './kept-weights.js';
import { inTemporaryFolder } from './temporary-folder.js';
import { writeAnalysis } from './write-analysis.js';

export interface AnalysisInput extends AskedAnalysis {
  /** Keep each quantized weight, so that any mix of them can be measured at once. */
  keepWeights: boolean;
  device: Device;
  kind: 'cpu' | 'cuda';
  version: string;
  watch: { onProgress(fraction: number, message: string): void; throwIfCancelled(): void };
}

export interface FinishedAnalysis {
  dir: string;
  resumed: number;
  problems: RunProblem[];
}

export const analysisDir = (plan: QuantizationPlan): string => `${plan.output.dir}.analysis`;

export async function analyze(input: AnalysisInput): Promise<FinishedAnalysis> {
  const { plan, bits, endToEnd, kind, version } = input;
  const layers = plan.layers.filter(isStored);
  checkAnalysis(input, layers);
  await verifyModelFiles(plan.model);
  const dir = analysisDir(plan);
  const text = endToEnd ? measuredText(plan) : null;
  const journal = await AnalysisJournal.open(dir, await analysisWork(plan, text, kind, version));
  const analysis = new Analysis(input, layers, journal);
  const found = await withinMemory(plan, [input.device], () => inTemporaryFolder(dir, (folder) => analysis.run(folder, text)));
  await writeAnalysis({ ...input, dir, layers, journal, endToEnd: found, bits, fisher: analysis.fisher, noHessian: analysis.noHessian });
  return { dir, resumed: journal.resumed, problems: analysis.problems };
}

/** Hash of what decides the figures of an analysis. */
export const analysisWork = async (
  plan: QuantizationPlan,
  text: DatasetPlan | null,
  kind: 'cpu' | 'cuda',
  version: string,
): Promise<string> =>
  createHash('sha256')
    .update(JSON.stringify([hashOfWork(plan, kind, version), text, await stateOfModel(plan.model)]))
    .digest('hex');

/** Rows on their way through the model, and what is measured at each layer. */
class Analysis {
  readonly problems: RunProblem[] = [];
  /** null: not asked for, known from before, or without rows. */
  fisher: Fisher | null = null;
  /** Why the trace of the Hessian cannot be had, where it was asked for. */
  noHessian: string | null = null;
  private done = 0;
  private readonly governor: MemoryGovernor;

  constructor(
    private readonly input: AnalysisInput,
    private readonly layers: readonly LayerPlan[],
    private readonly journal: AnalysisJournal,
  ) {
    this.governor = new MemoryGovernor([input.device], (problem) => this.problems.push(problem));
  }

  /** `dir`: for what stands only as long as this works. */
  async run(dir: string, text: DatasetPlan | null): Promise<EndToEndFacts | null> {
    const { governor } = this;
    const { plan, device, watch } = this.input;
    const units = planUnits({ ...plan, transforms: [], pruning: [] });
    using tokens =
      plan.calibration && (await loadTokenBatches(plan.calibration, plan.model, [device], { batchTokens: governor.batchTokens }));
    tokens?.problems.forEach((problem) => this.problems.push(problem));
    const whole = activationBudget(device, 1, plan.model, plan.layers, availableMemory(plan), tokens?.largest ?? usualBatch);
    // The rows of the calibration take one half, those of the measurement end to end the other.
    const budget = partOf(whole, 2);
    using rows =
      tokens &&
      new SpreadRows({
        tokens,
        devices: [device],
        model: plan.model,
        purpose: 'Calibration',
        dir: path.join(dir, 'activations'),
        budgetOf: () => budget,
        onBatch: () => watch.throwIfCancelled(),
      });
    using _ = tokens && rows && governor.hold({ tokens, rows });
    if (tokens && rows && (await this.lacksFisher()))
      await governor.survive({ stage: 'the Fisher information', isRecorded: true }, () =>
        this.measureFisher(path.join(dir, 'fisher'), tokens, rows.parts[0].model, whole),
      );
    if (tokens && rows)
      await governor.survive({ stage: 'the trace of the Hessian', isRecorded: true }, () =>
        this.measureHessian(path.join(dir, 'hessian'), tokens, rows.parts[0].model, whole),
      );
    using endToEnd =
      text &&
      (await EndToEnd.open(plan.model, text, device, path.join(dir, 'end-to-end'), budget, () => watch.throwIfCancelled(), governor));
    if (rows !== null) {
      const [part] = rows.parts;
      await governor.survive({ stage: 'the embedding' }, async () => {
        using weights = await partLoader(device, plan.model)((name) => part.model.embeddingTensors.includes(name));
        await embedRows(part, weights);
      });
    }
    for (const unit of units) {
      watch.throwIfCancelled();
      const { done } = this;
      const work = {
        stage: describeUnit(unit),
        hessians: hessiansOf(unit),
        rewind: () => void (this.done = done),
        ...(tokens && { tokens }),
      };
      await governor.survive(work, () => this.unit(unit, rows, endToEnd, text?.dataset ?? ''));
      if (unit.block !== null) await endToEnd?.advance(unit.block);
    }
    return this.journal.endToEnd;
  }

  private async measureFisher(dir: string, tokens: TokenBatches, decoder: DecoderModel, budget: ActivationBudget): Promise<void> {
    const { gradient_bytes } = fisherCost(this.input.plan, tokens.nTokens);
    const pass = await this.gradientPass('the Fisher information', gradient_bytes, { tokens, decoder, dir, budget });
    this.fisher = await Fisher.measure(pass);
  }

  /** A probe that is finished is never measured again. */
  private async measureHessian(dir: string, tokens: TokenBatches, decoder: DecoderModel, budget: ActivationBudget): Promise<void> {
    const { hessianProbes = 0 } = this.input;
    const missing = Array.from({ length: hessianProbes }, (_, probe) => probe).filter((probe) => !this.journal.probes.has(probe));
    if (missing.length === 0) return;
    const pass = await this.gradientPass('the trace of the Hessian', 0, { tokens, decoder, dir, budget });
    let told = '';
    const hessian = new HessianProbes({ ...pass, onBatch: (message) => pass.onBatch(`${told}${message}`) });
    for (const probe of missing) {
      told = `probe ${probe + 1} of ${hessianProbes}, `;
      const products = await hessian.measure(probe);
      if (typeof products === 'string') return void (this.noHessian = products);
      await this.journal.addProbe(probe, products);
    }
  }

  private async gradientPass(
    measure: string,
    fileBytes: number,
    given: Pick<GradientPassInput, 'tokens' | 'decoder' | 'dir' | 'budget'>,
  ): Promise<GradientPassInput> {
    const { plan, device, watch } = this.input;
    const { hidden_bytes } = fisherCost(plan, given.tokens.nTokens);
    const onDisk = fileBytes + Math.max(0, hidden_bytes - given.budget.device - given.budget.host);
    await checkDisk(onDisk, analysisDir(plan), `analysis with ${measure}`);
    const onBatch = (message: string): void => {
      watch.throwIfCancelled();
      watch.onProgress(0, message);
    };
    return { model: plan.model, layers: this.layers, device, onBatch, ...given };
  }

  private async unit(unit: WorkUnit, rows: SpreadRows | null, endToEnd: EndToEnd | null, dataset: string): Promise<void> {
    const { plan, device, bits } = this.input;
    const part = rows?.parts[0] ?? null;
    const isHead = unit.place === 'after' && unit.layers.some(({ name }) => name === plan.model.architecture?.lm_head);
    const prefix = `${plan.model.architecture?.layers}.${unit.block}.`;
    const own = new Set(unit.layers.map(({ tensor }) => tensor));
    using copies = await copiesLoader(
      [device],
      plan.model,
    )(
      (name) =>
        own.has(name) ||
        (part !== null && unit.block !== null && name.startsWith(prefix)) ||
        (part !== null && isHead && part.model.headTensors.includes(name)),
    );
    const missing: LayerPlan[] = [];
    for (const layer of unit.layers) if (await this.isMissing(layer, endToEnd !== null && unit.place !== 'before')) missing.push(layer);
    this.done += (unit.layers.length - missing.length) * bits.length;
    const steps = this.governor.oneHessianAtATime ? await stepsOf({ ...unit, layers: missing }, rows, copies) : [missing];
    for (const step of steps) if (step.length > 0) await this.measure(unit, step, copies.first, part, isHead, endToEnd, dataset);
    if (part !== null && unit.block !== null) await propagateBlock(part, unit.block, copies.first);
  }

  private get hasFisher(): boolean {
    return this.fisher !== null && this.fisher.reason === null;
  }

  /** Asked for, and not known to be out of reach. */
  private get mayHaveFisher(): boolean {
    return this.input.fisher && (this.fisher === null || this.fisher.reason === null);
  }

  private async lacksFisher(): Promise<boolean> {
    if (!this.mayHaveFisher) return false;
    for (const layer of this.layers) if (await this.isMissing(layer, false)) return true;
    return false;
  }

  private async isMissing({ name }: LayerPlan, endToEnd: boolean): Promise<boolean> {
    if (!this.journal.layers.has(name)) return true;
    for (const bit of this.input.bits) if (!(await this.isKnown(name, bit, endToEnd))) return true;
    return false;
  }

  /** A weight that is to be kept, and whose file is gone, is quantized again. */
  private async isKnown(name: string, num_bits: number, endToEnd: boolean): Promise<boolean> {
    const known = this.journal.candidate(name, num_bits, endToEnd);
    if (known === null || (this.mayHaveFisher && known.fisher_loss === undefined)) return false;
    const kept = this.journal.kept(name, num_bits);
    return !this.input.keepWeights || (kept !== null && (await isThere(analysisDir(this.input.plan), kept)));
  }

  private async measure(
    unit: WorkUnit,
    missing: LayerPlan[],
    weights: LoadedWeights,
    rows: CalibrationRows | null,
    isHead: boolean,
    endToEnd: EndToEnd | null,
    dataset: string,
  ): Promise<void> {
    const { device, bits } = this.input;
    using statistics = new BlockStatistics(device, missing);
    using moments = new InputMoments(device, new Set(missing.map(({ name }) => name)));
    const see = (module: string, input: Tensor, batch: ObservedBatch): void => {
      statistics.observe(module, input, batch);
      moments.observe(module, input, batch);
    };
    if (rows !== null && unit.block !== null) await observeBlock(rows, unit.block, weights, see);
    else if (rows !== null && isHead)
      await observeHead(rows, weights, (input, batch) => missing.forEach(({ name }) => see(name, input, batch)));
    const shared = statistics.sharedInputs();
    const alone = missing.filter(({ name }) => !shared.some((modules) => modules.includes(name))).map(({ name }) => [name]);
    for (const modules of [...shared, ...alone]) {
      const taken = modules[0] === undefined ? null : (statistics.hessian(modules[0])?.take() ?? null);
      using hessian = taken && new HessianFactors(taken);
      for (const layer of missing.filter(({ name }) => modules.includes(name))) {
        const weight = weights.tensor(layer.tensor);
        await this.journal.addLayer(await this.factsOf(layer, weight, moments));
        for (const bit of bits) await this.candidate(layer, bit, weight, hessian, unit.place === 'before' ? null : endToEnd, dataset);
      }
    }
  }

  private async factsOf(layer: LayerPlan, weight: Tensor, moments: InputMoments): Promise<LayerFacts> {
    using numbers = summary(weight);
    const [count = 1, n_nan = 0, n_infinite = 0, , , sum = 0, squares = 0, , first = -1] = await numbers.readDoubles();
    if (n_nan + n_infinite > 0) throw runFailure.tensorNotFinite(layer.tensor, this.input.plan.model.dir, n_nan + n_infinite, first);
    const names = this.layers.map(({ name }) => name);
    const siblings = new Set([layer.name, ...fusedWith(layer.name, names)]);
    const observed = await moments.of(layer.name);
    if (observed !== null && !observed.absmax.every(Number.isFinite))
      throw runFailure.activationNotFinite(layer.name, 'a channel of its input holds NaN or infinity');
    const trace = this.hasFisher ? await this.fisher?.trace(layer, weight) : this.journal.layers.get(layer.name)?.fisher_trace;
    return {
      name: layer.name,
      role: layer.role,
      block: layer.block,
      rows: layer.rows,
      columns: layer.columns,
      group: names.find((name) => siblings.has(name)) ?? layer.name,
      bytes_before: weight.bytes,
      weight_variance: Math.max(0, squares / count - (sum / count) ** 2),
      hessian_mean_diagonal: observed?.meanDiagonal ?? null,
      ...(trace !== undefined && { fisher_trace: trace }),
      activations: observed && {
        kurtosis: observed.kurtosis,
        max_over_median: observed.max_over_median,
        absmax: [...observed.absmax],
        importance: { ...observed.importance, sums: [...observed.importance.sums] },
      },
    };
  }

  private async candidate(
    layer: LayerPlan,
    num_bits: number,
    weight: Tensor,
    hessian: HessianFactors | null,
    endToEnd: EndToEnd | null,
    dataset: string,
  ): Promise<void> {
    const { watch, bits } = this.input;
    watch.throwIfCancelled();
    if (!(await this.isKnown(layer.name, num_bits, endToEnd !== null))) {
      const varied = withBits(layer, num_bits);
      const keep = async (stored: readonly NamedTensor[]): Promise<void> =>
        this.journal.addKept(await keepWeight(analysisDir(this.input.plan), this.layers.indexOf(layer), varied, stored));
      const { metrics, What } = await measureCandidate(varied, weight, hessian, this.input.keepWeights ? keep : null);
      using quantized = What;
      const known = this.journal.candidate(layer.name, num_bits, endToEnd !== null);
      const figures = known === null ? endToEnd && (await endToEnd.measure(layer.block, layer.tensor, quantized)) : null;
      const predicted = this.hasFisher ? await this.fisher?.loss(layer, weight, quantized) : known?.fisher_loss;
      if (figures !== null) {
        await this.journal.setEndToEnd({ dataset, tokens: figures.tokens, perplexity: figures.perplexityBefore });
      }
      const candidate: CandidateSensitivity = {
        num_bits,
        scheme: schemeText(varied) ?? '',
        quantizer: layer.quantizer?.name ?? '',
        bytes: metrics.bytes_after,
        weight_mse: metrics.weight_mse,
        weight_sqnr_db: metrics.weight_sqnr_db,
        weight_cosine: metrics.weight_cosine,
        relative_output_error: metrics.relative_output_error,
        mean_kld: figures?.mean_kld ?? known?.mean_kld ?? null,
        perplexity_change: figures === null ? (known?.perplexity_change ?? null) : figures.perplexity - figures.perplexityBefore,
        ...(predicted !== undefined && { fisher_loss: predicted }),
      };
      await this.journal.addCandidate(layer.name, candidate);
    }
    this.done += 1;
    watch.onProgress(Math.min(1, this.done / (this.layers.length * bits.length)), `${layer.name} with ${num_bits} bits`);
  }
}
