// Bits that go down until the model breaks: along the Pareto curve of an analysis, with the whole model measured at each step, from weights that the
// analysis kept. Nothing is quantized here.
//
// The curve orders its points by bytes; that quality falls with them is assumed for where to look next (bisection in bytes) and not for the answer, which
// is the smallest point that was measured and held. Cost: one pass of the model over the text for each evaluation, and one of the original.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { AllocationError, ParetoCurve } from '../../../schemas/src/allocate-bits.js';
import { measuredText, needOf, planWithNeed } from '../../../schemas/src/analysis-measures.js';
import type { DatasetPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import type { BitCriterion, BitSearch, MeasuredBits } from '../../../schemas/src/protocol/client-worker.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { bestMetric, bitGroups, weightCount, type BitGroup, type LossMetric } from '../../../schemas/src/suggest-bits.js';
import { asSensitivity } from '../../../schemas/src/validate.js';
import { verifyModelFiles } from '../checkpoint/tensor-reader.js';
import { availableMemory, withinMemory } from '../jobs/memory-estimate.js';
import { activationBudget } from '../memory/activation-budget.js';
import { MemoryGovernor } from '../memory/memory-governor.js';
import { usualBatch } from '../calibration/token-batches.js';
import type { Device } from '../tensor/tensor.js';
import { analysisDir, analysisWork, type AnalysisWatch } from './analysis-input.js';
import { AnalysisJournal, type MeasuredMix } from './analysis-journal.js';
import { EndToEnd } from './end-to-end.js';
import { assembledModel, isThere, type KeptWeight } from './kept-weights.js';
import { inTemporaryFolder } from './temporary-folder.js';
import { analysisFile } from './write-analysis.js';

export interface SearchInput {
  plan: QuantizationPlan;
  criterion: BitCriterion;
  evaluations: number;
  /** Null: what tells most of those that were measured. */
  metric: LossMetric | null;
  device: Device;
  kind: 'cpu' | 'cuda';
  version: string;
  watch: AnalysisWatch;
}

export async function searchBits(input: SearchInput): Promise<{ search: BitSearch }> {
  const text = measuredText(input.plan);
  if (text === null)
    throw runFailure.analysisImpossible(
      'A search measures on the text of evaluate.kl_divergence or evaluate.perplexity, and the recipe has neither: add one.',
    );
  const tell = (problem: RunProblem): void => input.watch.onProblem?.(problem);
  const governor = new MemoryGovernor([input.device], tell);
  const limited = planWithNeed(input.plan, needOf(input.plan, ['search']));
  return { search: await withinMemory(limited, [input.device], tell, () => search(input, text, governor)) };
}

async function search(input: SearchInput, text: DatasetPlan, governor: MemoryGovernor): Promise<BitSearch> {
  const { plan, device, watch } = input;
  const dir = analysisDir(plan);
  const journal = await findJournal(input, dir, text);
  const analysis = await readAnalysis(dir);
  const groups = solved(dir, () => bitGroups(analysis, input.metric ?? bestMetric(analysis)));
  const kept = await keptOf(dir, journal, groups);
  await verifyModelFiles(assembledModel(plan, dir, [...kept.values()]));
  const curve = solved(dir, () => new ParetoCurve(groups));
  // An analysis holds the rows of its calibration beside these; here all of the budget is theirs.
  const budget = activationBudget(device, 1, plan.model, plan.layers, availableMemory(plan), usualBatch);
  using opened = { current: null as EndToEnd | null, [Symbol.dispose]: () => opened.current?.[Symbol.dispose]() };
  const measure = async (folder: string, choice: readonly number[]): Promise<MeasuredMix> => {
    const chosen = groups.flatMap(({ layers, bits }, at) =>
      layers.map(({ name }) => kept.get(`${name} ${bits[choice[at] ?? 0]}`) as KeptWeight),
    );
    const key = createHash('sha256')
      .update(JSON.stringify([text, chosen.map(({ name, num_bits }) => [name, num_bits])]))
      .digest('hex');
    const known = journal.mixes.get(key);
    if (known !== undefined) return known;
    opened.current ??= await EndToEnd.open(
      plan.model,
      text,
      device,
      path.join(folder, 'end-to-end'),
      budget,
      () => watch.throwIfCancelled(),
      governor,
    );
    const figures = await opened.current.measureModel(assembledModel(plan, dir, chosen));
    const { mean_kld, perplexity, perplexityBefore } = figures;
    const mix = { key, mean_kld, perplexity, perplexity_change: perplexity - perplexityBefore };
    await journal.addMix(mix);
    return mix;
  };
  return await inTemporaryFolder(dir, (folder) =>
    bisect(input, curve, weightCount(analysis.layers), text.dataset, (choice) => measure(folder, choice)),
  );
}

async function findJournal({ plan, kind, version }: SearchInput, dir: string, text: DatasetPlan): Promise<AnalysisJournal> {
  for (const measured of [text, null]) {
    const found = await AnalysisJournal.find(dir, await analysisWork(plan, measured, kind, version));
    if (found !== null) return found;
  }
  throw runFailure.analysisMissing(dir, 'it is absent, or of another recipe, model, calibration, kind of device or version');
}

async function readAnalysis(dir: string): Promise<SensitivityAnalysis> {
  const file = path.join(dir, analysisFile);
  try {
    const checked = asSensitivity(JSON.parse(await readFile(file, 'utf8')));
    if ('analysis' in checked) return checked.analysis;
    throw runFailure.analysisMissing(dir, `${analysisFile} is not an analysis of this version (${checked.error})`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw runFailure.analysisMissing(dir, `it has no ${analysisFile}; it was not finished`);
    if (error instanceof SyntaxError) throw runFailure.analysisMissing(dir, `${analysisFile} is not JSON`);
    throw error;
  }
}

async function keptOf(dir: string, journal: AnalysisJournal, groups: readonly BitGroup[]): Promise<Map<string, KeptWeight>> {
  const kept = new Map<string, KeptWeight>();
  for (const { layers, bits } of groups)
    for (const { name } of layers)
      for (const num_bits of bits) {
        const one = journal.kept(name, num_bits);
        if (one === null || !(await isThere(dir, one)))
          throw runFailure.analysisMissing(dir, `the weight of ${name} with ${num_bits} bits was not kept`);
        kept.set(`${name} ${num_bits}`, one);
      }
  return kept;
}

function solved<T>(dir: string, solve: () => T): T {
  try {
    return solve();
  } catch (error) {
    if (error instanceof AllocationError) throw runFailure.analysisMissing(dir, `there is no choice in it: ${error.message}`);
    throw error;
  }
}

/** The largest point first, then the smallest, then between the largest that breaks and the smallest that holds. */
async function bisect(
  { criterion, evaluations, watch }: SearchInput,
  curve: ParetoCurve,
  n_weights: number,
  dataset: string,
  measure: (choice: readonly number[]) => Promise<MeasuredMix>,
): Promise<BitSearch> {
  const measured: MeasuredBits[] = [];
  const holdsAt = async (index: number): Promise<boolean> => {
    watch.throwIfCancelled();
    const { bytes, loss, choices } = curve.at(index);
    const bits_per_weight = (8 * bytes) / n_weights;
    watch.onProgress(measured.length / evaluations, `${bits_per_weight.toFixed(3)} bits per weight`);
    const { mean_kld, perplexity, perplexity_change } = await measure(choices);
    const value = { mean_kld, perplexity_change }[criterion.metric];
    measured.push({
      bytes,
      bits_per_weight,
      predicted_loss: loss,
      mean_kld,
      perplexity,
      perplexity_change,
      holds: value <= criterion.most,
    });
    return value <= criterion.most;
  };
  let [breaks, holds] = [-1, curve.length - 1];
  if (await holdsAt(holds)) {
    if (curve.length > 1 && evaluations > 1) {
      if (await holdsAt(0)) holds = 0;
      else breaks = 0;
    }
    while (measured.length < evaluations && holds - breaks > 1) {
      const middle = (curve.bytesAt(breaks) + curve.bytesAt(holds)) / 2;
      const index = Math.min(holds - 1, Math.max(breaks + 1, curve.indexWithin(middle)));
      if (await holdsAt(index)) holds = index;
      else breaks = index;
    }
  }
  const held = measured.filter((one) => one.holds);
  const smallest = held.reduce<MeasuredBits | null>((least, one) => (least === null || one.bytes < least.bytes ? one : least), null);
  return {
    dataset,
    measured,
    chosen: smallest === null ? null : measured.indexOf(smallest),
    exhausted: smallest !== null && holds - breaks > 1,
  };
}
