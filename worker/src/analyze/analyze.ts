// What quantizing each layer alone costs, for every number of bits: weights, outputs on the calibration rows and, where asked for, the predictions of the
// whole model. Block by block, as a run goes, but every layer sees the model as it is; transforms of the recipe are not applied.
//
// Cost: the rows pass through the model once, each layer is quantized once for every number of bits; end to end, each candidate of block b also costs the
// blocks from b on, so that a model of B blocks with c candidates in each runs about c · B / 2 times.
import path from 'node:path';
import { analysisNeed, measuredText, planWithNeed } from '../../../schemas/src/analysis-measures.js';
import type { DatasetPlan, LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { embedRows, propagateBlock } from '../calibration/calibrate-block.js';
import { SpreadRows } from '../calibration/spread-rows.js';
import { loadTokenBatches, usualBatch } from '../calibration/token-batches.js';
import { verifyModelFiles } from '../checkpoint/tensor-reader.js';
import { copiesLoader, partLoader } from '../evaluate/model-pass.js';
import { describeUnit, isStored, planUnits, type WorkUnit } from '../jobs/layer-jobs.js';
import { availableMemory, withinMemory } from '../jobs/memory-estimate.js';
import { hessiansOf } from '../jobs/operations-estimate.js';
import { stepsOf } from '../jobs/quantized-so-far.js';
import { activationBudget, partOf } from '../memory/activation-budget.js';
import { MemoryGovernor } from '../memory/memory-governor.js';
import { analysisDir, analysisWork, type AnalysisInput } from './analysis-input.js';
import { AnalysisJournal, type EndToEndFacts } from './analysis-journal.js';
import { checkAnalysis } from './check-analysis.js';
import { EndToEnd } from './end-to-end.js';
import { GradientMeasures } from './gradient-measures.js';
import { LayerMeasures, type MeasuredEndToEnd } from './measure-layers.js';
import { MissingCandidates } from './missing-candidates.js';
import { inTemporaryFolder } from './temporary-folder.js';
import { writeAnalysis } from './write-analysis.js';

export interface FinishedAnalysis {
  dir: string;
  resumed: number;
}

export async function analyze(input: AnalysisInput): Promise<FinishedAnalysis> {
  const { plan, bits, endToEnd, kind, version } = input;
  const layers = plan.layers.filter(isStored);
  checkAnalysis(input, layers);
  await verifyModelFiles(plan.model);
  const dir = analysisDir(plan);
  const text = endToEnd ? measuredText(plan) : null;
  const { fisher, hessianProbes = 0 } = input;
  const limited = planWithNeed(plan, analysisNeed(plan, { end_to_end: endToEnd, fisher, hessian_probes: hessianProbes }));
  const tell = (problem: RunProblem): void => input.watch.onProblem?.(problem);
  return withinMemory(limited, [input.device], tell, async () => {
    const journal = await AnalysisJournal.open(dir, await analysisWork(plan, text, kind, version));
    const analysis = new Analysis(input, layers, journal, tell);
    const found = await inTemporaryFolder(dir, (folder) => analysis.run(folder, text));
    const { fisher, noHessian } = analysis.gradients;
    await writeAnalysis({ ...input, dir, layers, journal, endToEnd: found, bits, fisher, noHessian });
    return { dir, resumed: journal.resumed };
  });
}

/** Rows on their way through the model, and what is measured at each layer. */
class Analysis {
  readonly gradients: GradientMeasures;
  private readonly measures: LayerMeasures;
  private readonly missing: MissingCandidates;
  private readonly governor: MemoryGovernor;

  constructor(
    private readonly input: AnalysisInput,
    layers: readonly LayerPlan[],
    private readonly journal: AnalysisJournal,
    private readonly tell: (problem: RunProblem) => void,
  ) {
    this.governor = new MemoryGovernor([input.device], tell);
    this.missing = new MissingCandidates(input, journal);
    this.gradients = new GradientMeasures(input, layers, journal, this.missing);
    this.measures = new LayerMeasures(input, layers, journal, this.missing, this.gradients);
  }

  /** `dir`: for what stands only as long as this works. */
  async run(dir: string, text: DatasetPlan | null): Promise<EndToEndFacts | null> {
    const { governor } = this;
    const { plan, device, watch } = this.input;
    const units = planUnits({ ...plan, transforms: [], pruning: [] });
    using tokens =
      plan.calibration && (await loadTokenBatches(plan.calibration, plan.model, [device], { batchTokens: governor.batchTokens }));
    tokens?.problems.forEach(this.tell);
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
    if (tokens && rows) await this.gradients.measure(dir, tokens, rows.parts[0].model, whole, governor);
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
      const { done } = this.measures;
      const work = {
        stage: describeUnit(unit),
        hessians: hessiansOf(unit),
        rewind: () => void (this.measures.done = done),
        ...(tokens && { tokens }),
      };
      await governor.survive(work, () => this.unit(unit, rows, endToEnd && { model: endToEnd, dataset: text?.dataset ?? '' }));
      if (unit.block !== null) await endToEnd?.advance(unit.block);
    }
    return this.journal.endToEnd;
  }

  private async unit(unit: WorkUnit, rows: SpreadRows | null, endToEnd: MeasuredEndToEnd | null): Promise<void> {
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
    const missing = await this.missing.someOf(unit.layers, endToEnd !== null && unit.place !== 'before');
    this.measures.done += (unit.layers.length - missing.length) * bits.length;
    const steps = this.governor.oneHessianAtATime ? await stepsOf({ ...unit, layers: missing }, rows, copies) : [missing];
    for (const step of steps) if (step.length > 0) await this.measures.measure(unit, step, copies.first, part, isHead, endToEnd);
    if (part !== null && unit.block !== null) await propagateBlock(part, unit.block, copies.first);
  }
}
