// OWL, outlier-weighed layer sparsity (Yin et al., arXiv 2310.05175): a block with many outliers loses fewer weights, the mean of all blocks is what is asked.
// Found out before the first block is changed, in a pass of the rows through the model as it is.
//
//   paper   here        meaning
//   A_ij    score       |W_ij| · ‖X_j‖₂, of all pruned layers of a block together
//   M       owl.m       an outlier is more than M times the mean of A
//   D       share       share of outliers in the block, in percent
//   λ       owl.lmbda   the sparsity of a block is S plus at most 2 λ between the blocks: 1 - (D' - mean(D') + 1 - S), D' = (D - min D) / (max D - min D) · 2 λ
//
// Differences: ‖X_j‖₂ is over all tokens, where llm-compressor adds the norms of samples; blocks that all have the same share keep S, where it divides by zero.
// (Its 0.13 hands the result on by block where targets are looked up by layer, and fails unless targets name the blocks.) Cost: a pass of the rows, and N n².
import path from 'node:path';
import type { LayerPlan, PrunerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { BlockStatistics } from '../calibration/block-statistics.js';
import { embedRows, observeBlock, propagateBlock } from '../calibration/calibrate-block.js';
import { SpreadRows } from '../calibration/spread-rows.js';
import { SpreadStatistics } from '../calibration/spread-statistics.js';
import { loadTokenBatches } from '../calibration/token-batches.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader } from '../checkpoint/tensor-reader.js';
import { loadCopies, type ReaderOn } from '../checkpoint/weight-copies.js';
import { activationBudget } from '../memory/activation-budget.js';
import type { MemoryGovernor } from '../memory/memory-governor.js';
import type { RunContext } from '../run-context.js';
import { hessianDiagonal } from '../tensor/operations/observers.js';
import { cast } from '../tensor/operations/storage.js';
import { availableMemory } from './memory-estimate.js';

type OwlPlan = Extract<PrunerPlan, { owl: unknown }> & { owl: { m: number; lmbda: number } };
const isOwl = (plan: PrunerPlan): plan is OwlPlan => 'owl' in plan && plan.owl !== null;

/** From here on the plan has a sparsity for every block, and no OWL. */
export async function weighOutliers(context: RunContext, governor: MemoryGovernor): Promise<void> {
  const { plan } = context;
  const owls = plan.pruning.filter(isOwl);
  if (owls.length === 0) return;
  let shares: Map<PrunerPlan, Map<number, number>> = new Map();
  await governor.survive({ stage: 'the outliers of all blocks', rewind: () => undefined }, async () => {
    shares = await context.stage('calibrate', null, 'outliers of all blocks', () => outlierShares(context, governor, owls));
  });
  context.plan = { ...plan, pruning: plan.pruning.map((one) => (isOwl(one) ? withShares(one, shares.get(one) ?? new Map(), plan) : one)) };
}

function withShares(pruner: OwlPlan, shares: ReadonlyMap<number, number>, { layers }: QuantizationPlan): PrunerPlan {
  const blockOf = new Map(layers.map(({ name, block }) => [name, block]));
  const offsets = offsetsOf(shares, pruner.owl.lmbda);
  return {
    ...pruner,
    owl: null,
    layers: pruner.layers.map(({ name, sparsity }) => {
      const block = blockOf.get(name) ?? null;
      const offset = block === null ? 0 : (offsets.get(block) ?? 0);
      return { name, sparsity: Math.min(1, Math.max(0, sparsity - offset)) };
    }),
  };
}

/** Block → how much less than the mean it loses. */
export function offsetsOf(shares: ReadonlyMap<number, number>, lmbda: number): Map<number, number> {
  const values = [...shares.values()];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (values.length === 0 || high === low) return new Map();
  const scaled = new Map([...shares].map(([block, share]) => [block, ((share - low) / (high - low)) * 2 * lmbda]));
  const mean = [...scaled.values()].reduce((sum, value) => sum + value, 0) / scaled.size;
  return new Map([...scaled].map(([block, value]) => [block, value - mean]));
}

async function outlierShares(
  context: RunContext,
  governor: MemoryGovernor,
  owls: readonly OwlPlan[],
): Promise<Map<PrunerPlan, Map<number, number>>> {
  const { plan, devices } = context;
  const { architecture } = plan.model;
  if (plan.calibration === null || architecture === null)
    throw runFailure.planInvalid('OWL needs calibration rows and a model that can run');
  const tensors = modelTensors(plan.model);
  const source: ReaderOn = (device) => openTensorReader(device, tensors);
  using tokens = await loadTokenBatches(plan.calibration, plan.model, devices, { batchTokens: governor.batchTokens });
  using rows = new SpreadRows({
    tokens,
    devices,
    model: plan.model,
    purpose: 'Calibration',
    dir: path.join(context.runDir, 'outliers'),
    budgetOf: (device, n_used) => activationBudget(device, n_used, plan.model, plan.layers, availableMemory(plan), tokens.largest),
    onBatch: () => context.throwIfCancelled(),
  });
  using _ = governor.hold({ tokens, rows });
  const [{ model }] = rows.parts;
  {
    using copies = await loadCopies(
      rows.devices,
      source,
      (name) => model.embeddingTensors.includes(name),
      () => null,
    );
    await rows.onEach((part, index) => embedRows(part, copies.on(index)));
  }
  const found = new Map<PrunerPlan, Map<number, number>>(owls.map((owl) => [owl, new Map()]));
  for (let block = 0; block < architecture.num_hidden_layers; block += 1) {
    using copies = await loadCopies(
      rows.devices,
      source,
      (name) => name.startsWith(`${architecture.layers}.${block}.`),
      () => null,
    );
    for (const owl of owls) {
      const names = new Set(owl.layers.map(({ name }) => name));
      const layers = plan.layers.filter((layer) => layer.block === block && names.has(layer.name));
      if (layers.length === 0) continue;
      const parts = rows.parts.map(({ device }) => new BlockStatistics(device, layers));
      using statistics = new SpreadStatistics(parts, layers);
      await rows.onEach((part, index) =>
        observeBlock(part, block, copies.on(index), (module, tensor, batch) => parts[index]!.observe(module, tensor, batch)),
      );
      found.get(owl)?.set(block, await shareOfOutliers(layers, copies.first, statistics, context, owl.owl.m));
    }
    if (block + 1 < architecture.num_hidden_layers) await rows.onEach((part, index) => propagateBlock(part, block, copies.on(index)));
  }
  await rows.removeFiles();
  return found;
}

/** In percent. */
async function shareOfOutliers(
  layers: readonly LayerPlan[],
  weights: LoadedWeights,
  statistics: SpreadStatistics,
  { device }: RunContext,
  times: number,
): Promise<number> {
  const norms = new Map<string, Float32Array>();
  for (const modules of statistics.sharedInputs()) {
    await statistics.gather(modules, device);
    using hessian = statistics.takeHessian(modules[0] ?? '')?.hessian;
    if (hessian === undefined) continue;
    using diagonal = hessianDiagonal(hessian);
    const roots = (await diagonal.readFloats()).map(Math.sqrt);
    for (const module of modules) norms.set(module, roots);
  }
  let [sum, count] = [0, 0];
  const scores: Float32Array[] = [];
  for (const { name, tensor, columns } of layers) {
    const roots = norms.get(name);
    if (roots === undefined) continue;
    using wide = cast(weights.tensor(tensor), 'F32');
    const own = (await wide.readFloats()).map((w, i) => Math.abs(w) * (roots[i % columns] ?? 0));
    for (const score of own) sum += score;
    count += own.length;
    scores.push(own);
  }
  if (count === 0) return 0;
  const threshold = (sum / count) * times;
  let outliers = 0;
  for (const own of scores) for (const score of own) outliers += Number(score > threshold);
  return (100 * outliers) / count;
}
