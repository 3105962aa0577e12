// One unit from source weights to a shard on the disk: load, observe, transform, quantize, write.
import path from 'node:path';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics, RunProblem } from '../../../schemas/src/generated/report.js';
import { needsPairs } from '../../../schemas/src/modifiers.js';
import { BlockStatistics } from '../calibration/block-statistics.js';
import { observeBlock, observeHead } from '../calibration/calibrate-block.js';
import { observePairs } from '../calibration/observe-pairs.js';
import type { SpreadRows } from '../calibration/spread-rows.js';
import { SpreadStatistics } from '../calibration/spread-statistics.js';
import { writeDurably } from '../checkpoint/durable-file.js';
import type { NamedTensor } from '../checkpoint/formats/format.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { fromDevice, placeTensors, writeSafetensors } from '../checkpoint/safetensors-writer.js';
import { loadCopies, type ReaderOn, type WeightCopies } from '../checkpoint/weight-copies.js';
import { Sidecar } from '../report/sidecar.js';
import type { RunContext } from '../run-context.js';
import { layersWithNewBias, zeroBiases } from './correct-layer.js';
import { describeUnit, type WorkUnit } from './layer-jobs.js';
import { quantizeOperations } from './operations-estimate.js';
import { QuantizedSoFar, stepsOf } from './quantized-so-far.js';
import { checkFinite } from './quantize-unit.js';
import type { FinishedUnit } from './run-journal.js';
import { placeLayers, quantizeSpread, type LayerGroup } from './spread-layers.js';
import { transformUnit } from './transform-unit.js';

export interface UnitInput {
  context: RunContext;
  unit: WorkUnit;
  /** Tensors of the unquantized model. */
  source: ReaderOn;
  /** Null without calibration. */
  rows: SpreadRows | null;
  /** The rows pass once for every input of the unit's linears, and what was summed of one is gone before the next. */
  oneHessianAtATime: boolean;
}

export async function finishUnit(input: UnitInput): Promise<FinishedUnit> {
  const { context, unit, source } = input;
  if (unit.layers.length === 0 && unit.transforms.length === 0 && zerosIn(input).length === 0)
    return { unit: unit.index, shard: null, layers: [], transforms: [], problems: [] };
  // Rows need every weight on every device; without them a device holds what it quantizes.
  const devices = input.rows?.devices ?? context.devices;
  const placed = input.rows === null ? placeLayers(unit.layers, [], devices.length) : null;
  using copies = await loadCopies(devices, source, wantedTensors(input, placed), () => null);
  for (const [index, device] of devices.entries()) {
    const own = placed === null ? (index === 0 ? unit.layers : []) : layersOn(index, placed);
    await checkFinite(own, copies.on(index), (name) => source(device).file(name));
  }
  const sidecar = new Sidecar(`blocks/${threeDigits(unit.index)}.arrays.bin`);
  const transformed =
    unit.transforms.length > 0
      ? await context.stage('transform', unit.block, describeUnit(unit), () => transformUnit({ ...input, copies, sidecar }))
      : { metrics: [], problems: [] };
  transformed.metrics.forEach((metrics) => context.transformFinished(metrics));
  transformed.problems.forEach((problem) => context.problem(problem));
  const { rows } = input;
  const layers: LayerMetrics[] = [];
  const problems: RunProblem[] = [...transformed.problems];
  const onLayer = (layer: LayerPlan, metrics: LayerMetrics, found: RunProblem[]): void => {
    layers.push(metrics);
    problems.push(...found);
    context.layerFinished(metrics);
    for (const problem of found) context.problem(problem);
    context.advance(quantizeOperations([layer]), `${layer.name} ${layer.scheme === null ? 'pruned' : 'quantized'}`);
    context.throwIfCancelled();
  };
  const quantized: NamedTensor[] = [];
  using soFar = new QuantizedSoFar(devices, copies);
  try {
    const pairs = unit.layers.some(needsPairs);
    const steps = pairs || input.oneHessianAtATime ? await stepsOf(unit, rows, copies) : [unit.layers];
    for (const step of steps) {
      using statistics =
        rows && (await context.stage('calibrate', unit.block, describeUnit(unit), () => observeUnit(input, step, rows, copies, soFar)));
      const done = await context.stage('quantize', unit.block, describeUnit(unit), () =>
        quantizeSpread({
          layers: step,
          pruning: unit.pruning,
          groups: placed ?? placeLayers(step, statistics?.sharedInputs() ?? [], devices.length),
          devices,
          copies,
          statistics,
          transforms: context.plan.transforms,
          sidecar,
          onLayer,
          onRead: pairs && steps.length > 1 ? (layer, weight, bias) => soFar.keep(layer, weight, bias) : null,
        }),
      );
      quantized.push(...done);
    }
  } catch (error) {
    for (const { tensor } of quantized) tensor.dispose();
    throw error;
  }
  const zeros = zeroBiases(zerosIn(input), quantized, copies.first);
  try {
    const tensors = [...quantized, ...zeros, ...transformedTensors(unit, copies.first, quantized)];
    const shard = await context.stage('write', unit.block, describeUnit(unit), () => writeShard(input, tensors, sidecar));
    return { unit: unit.index, shard, layers, transforms: transformed.metrics, problems };
  } finally {
    for (const { tensor } of [...quantized, ...zeros]) tensor.dispose();
  }
}

/** Layers of the unit that get a bias. */
const zerosIn = ({ context, unit }: UnitInput): LayerPlan[] => layersWithNewBias(context.plan, unit.block);

const threeDigits = (n: number): string => String(n).padStart(3, '0');

const layersOn = (device: number, placed: readonly LayerGroup[]): LayerPlan[] =>
  placed.flatMap((group) => (group.device === device ? group.layers : []));

/** A block that rows pass through is needed whole; without rows only what changes. */
function wantedTensors(
  { context, unit, rows }: UnitInput,
  placed: readonly LayerGroup[] | null,
): (name: string, device: number) => boolean {
  const { architecture } = context.plan.model;
  const own = new Set(unit.layers.map((layer) => layer.tensor));
  if (placed !== null) {
    const onDevice = context.devices.map((_, device) => new Set(layersOn(device, placed).map((layer) => layer.tensor)));
    return (name, device) => onDevice[device]?.has(name) ?? false;
  }
  if (rows === null || architecture === null) return (name) => own.has(name);
  if (unit.block !== null) return (name) => name.startsWith(`${architecture.layers}.${unit.block}.`);
  const [{ model }] = rows.parts;
  return (name) => own.has(name) || (unit.place === 'after' && model.headTensors.includes(name));
}

/** What the rows show of some layers of the unit, the others as far as they are quantized. */
async function observeUnit(
  { context, unit }: UnitInput,
  layers: readonly LayerPlan[],
  rows: SpreadRows,
  copies: WeightCopies,
  soFar: QuantizedSoFar,
): Promise<SpreadStatistics> {
  const corrected = new Set(
    context.plan.transforms.flatMap((plan) => (plan.name === 'bias-correction' || plan.name === 'outlier-split' ? plan.layers : [])),
  );
  const parts = rows.parts.map(({ device }) => new BlockStatistics(device, layers, corrected));
  const head = context.plan.model.architecture?.lm_head;
  try {
    await rows.onEach(async (part, index) => {
      const { block } = unit;
      const [weights, statistics] = [soFar.on(index), parts[index]!];
      if (part.original !== null && layers.some(needsPairs))
        await observePairs(part, part.original, unit, head, { before: copies.on(index), now: weights }, statistics);
      else if (block !== null)
        await observeBlock(part, block, weights, (module, tensor, batch) => statistics.observe(module, tensor, batch));
      else if (head !== undefined && layers.some((layer) => layer.name === head))
        await observeHead(part, weights, (tensor, batch) => statistics.observe(head, tensor, batch));
    });
    return new SpreadStatistics(parts, layers);
  } catch (error) {
    for (const statistics of parts) statistics[Symbol.dispose]();
    throw error;
  }
}

/** Transformed tensors that stay unquantized: norms, biases, balance layers without a scheme. */
function transformedTensors(unit: WorkUnit, weights: LoadedWeights, written: readonly NamedTensor[]): NamedTensor[] {
  const quantized = new Set([...unit.layers.map((layer) => layer.tensor), ...written.map(({ name }) => name)]);
  return [...weights.replaced].filter((name) => !quantized.has(name)).map((name) => ({ name, tensor: weights.tensor(name) }));
}

async function writeShard({ context, unit }: UnitInput, tensors: readonly NamedTensor[], sidecar: Sidecar): Promise<FinishedUnit['shard']> {
  const file = `blocks/${threeDigits(unit.index)}.safetensors`;
  const toWrite = tensors.map(fromDevice);
  const needed = `${tensors.reduce((sum, { tensor }) => sum + tensor.bytes, 0)} bytes for this block`;
  await writeDurably(path.join(context.runDir, sidecar.file), sidecar.chunks, needed);
  const { sha256 } = await writeSafetensors(path.join(context.runDir, file), toWrite, needed);
  return { file, sha256, tensors: placeTensors(file, toWrite) };
}
