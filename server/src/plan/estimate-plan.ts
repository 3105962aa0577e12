// What a plan costs: stored bytes, bits per weight, disk, operations, and the stage that takes most memory. From shapes alone; formulas beside each figure.
import type {
  ArchitectureFacts,
  LayerPlan,
  MemoryNeed,
  ModelDescription,
  PlanEstimate,
  PrunerPlan,
  QuantizationScheme,
  TransformPlan,
} from '../../../schemas/src/generated/plan.js';
import { isRotation, isScaling, isSolved } from '../../../schemas/src/modifiers.js';
import { layersOfDistinctBlocks } from './distinct-blocks.js';
import { type GenerationEstimate, type MemoryStage, type RowsEstimate } from './memory-terms.js';
import { leastMemoryStages, memoryStages } from './estimate-memory.js';
import { adapterBytes, inputBytes, sizeOfDtype, storedBytes } from './estimate-size.js';

export interface EstimateInput {
  model: ModelDescription;
  layers: readonly LayerPlan[];
  /** null: no calibration. */
  calibration: RowsEstimate | null;
  /** The texts or questions that take most memory. */
  evaluation: RowsEstimate | null;
  /** Everything that is read to evaluate, for the time; absent: `evaluation`. */
  readings?: readonly RowsEstimate[];
  generation?: GenerationEstimate | null;
  /** `passes`: of its rows through the whole model. */
  canary?: (RowsEstimate & { passes: number }) | null;
  /** Absent: none. */
  transforms?: readonly TransformPlan[];
  pruning?: readonly PrunerPlan[];
  /** Bytes that the run may use. */
  memoryLimit: number;
}

/** All but what an analysis of the plan would take. */
export type RunEstimate = Omit<PlanEstimate, 'analysis'>;

export function estimatePlan({
  model,
  layers,
  calibration,
  evaluation,
  readings = evaluation === null ? [] : [evaluation],
  generation = null,
  canary = null,
  transforms = [],
  pruning = [],
  memoryLimit,
}: EstimateInput): RunEstimate {
  const before = model.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const quantized = layers.filter((layer) => layer.scheme?.weights && !sharesStored(layer, layers));
  const stored = (layer: LayerPlan): number =>
    layer.scheme === null
      ? layer.rows * layer.columns * sizeOfDtype(layer.dtype)
      : storedBytes(layer, layer.scheme, sizeOfDtype(layer.dtype));
  const rotation = transforms.find(isRotation);
  const facts = model.architecture;
  // The head gets a matrix of its own; the folder of the rotated model stands beside the blocks until the end.
  const parted = rotation !== undefined && facts?.tie_word_embeddings === true && layers.some(isOwnHead(facts.lm_head));
  const head = parted ? facts.vocab_size * facts.hidden_size * sizeOfDtype(model.dtype) : 0;
  let after = before + head;
  let bits = 0;
  let weights = 0;
  for (const layer of quantized) {
    const bytes = stored(layer);
    const original = layer.rows * layer.columns * sizeOfDtype(layer.dtype);
    after +=
      adapterBytes(layer, transforms) +
      bytes +
      inputBytes(layer.scheme as QuantizationScheme, sizeOfDtype(layer.dtype)) -
      (layer.tied_to === null ? original : 0);
    bits += bytes * 8;
    weights += layer.rows * layer.columns;
  }
  const pruned = new Set(pruning.flatMap((plan) => plan.layers.map(({ name }) => name)));
  // A head that shares the embedding's matrix gets one of its own when it is pruned.
  for (const layer of layers)
    if (layer.scheme === null && layer.tied_to !== null && pruned.has(layer.name))
      after += layer.rows * layer.columns * sizeOfDtype(layer.dtype);
  const distinct = layersOfDistinctBlocks(layers, transforms, pruned);
  const memory = {
    model,
    layers: distinct,
    calibration,
    evaluation,
    generation,
    canary,
    transforms,
    pruned,
    memoryLimit,
    storedBytes: stored,
  };
  const onCuda = { ...memory, memoryLimit: 0, onCuda: true };
  return {
    weights_bytes_before: before,
    weights_bytes_after: after,
    bits_per_weight: weights === 0 ? 8 * sizeOfDtype(model.dtype) : bits / weights,
    ...memoryNeed(memoryStages(memory, after), leastMemoryStages(memory, after)),
    cuda: memoryNeed(memoryStages(onCuda, after), leastMemoryStages(onCuda, after)),
    disk_bytes: 2 * after + quantized.length * besideLayerBytes + (rotation === undefined ? 0 : before + head),
    operations:
      operations(model.architecture, layers, calibration, readings, canary) + transformOperations(layers, calibration, transforms),
  };
}

/**
 * At most, of a layer in the run folder beside its weights: 21 kB of counts for its pictures (3 histograms of 128, 4 times 16 slices of 64, a grid of 256), its line
 * in the journal and again in the report (4 kB each), and the hashes and arguments of its tensors in the lock (3 kB).
 */
const besideLayerBytes = 32e3;

/** Of the stages, and of those of the same work when it has given up what it can. */
export function memoryNeed(stages: readonly MemoryStage[], leastStages: readonly MemoryStage[]): MemoryNeed {
  const [peak, least] = [largestOf(stages), largestOf(leastStages)];
  return {
    peak_memory_bytes: peak.bytes,
    peak_memory_stage: peak.name,
    least_memory_bytes: least.bytes,
    least_memory_stage: least.name,
  };
}

const largestOf = (stages: readonly MemoryStage[]): MemoryStage =>
  stages.reduce((best, stage) => (stage.bytes > best.bytes ? stage : best));

/** A head that is tied to an embedding with the same scheme is stored with it. */
function sharesStored({ tied_to, scheme }: LayerPlan, layers: readonly LayerPlan[]): boolean {
  const source = tied_to === null ? undefined : layers.find(({ name }) => name === tied_to);
  const isKept = source?.quantizer?.name === 'bitsandbytes' || (source !== undefined && isSolved(source));
  return source?.scheme?.weights !== undefined && !isKept && JSON.stringify(source.scheme) === JSON.stringify(scheme);
}

const isOwnHead =
  (head: string) =>
  ({ name, tied_to }: LayerPlan): boolean =>
    name === head && tied_to === null;

function operations(
  architecture: ArchitectureFacts | null,
  layers: readonly LayerPlan[],
  calibration: EstimateInput['calibration'],
  readings: readonly RowsEstimate[],
  canary: EstimateInput['canary'],
): number {
  const weights = layers.filter((layer) => layer.block !== null).reduce((sum, layer) => sum + layer.rows * layer.columns, 0);
  const perToken = (tokens: number): number =>
    weights +
    (architecture === null ? 0 : architecture.num_hidden_layers * architecture.num_attention_heads * architecture.head_dim * tokens);
  let total = 0;
  if (calibration !== null) total += 2 * calibration.totalTokens * perToken(calibration.tokens);
  for (const { totalTokens, tokens } of readings) total += 2 * totalTokens * perToken(tokens);
  if (canary) total += canary.passes * canary.totalTokens * perToken(canary.tokens);
  for (const layer of layers)
    if (isSolved(layer))
      total += layer.columns ** 2 * ((calibration === null ? 0 : calibration.totalTokens / 2) + layer.rows + (2 / 3) * layer.columns);
  return total;
}

/** As in the worker's token-batches.ts: every batch rounds the weights of every point of the grid anew. */
const batchTokens = 4096;

/**
 * SmoothQuant: one pass of the rows through the blocks. AWQ: the same for the means and for each mapping, the parent for every point of the grid and once
 * as it is, and about 40 operations for each rounding of a weight.
 */
function transformOperations(
  layers: readonly LayerPlan[],
  calibration: EstimateInput['calibration'],
  transforms: readonly TransformPlan[],
): number {
  const weightsOf = (some: readonly LayerPlan[]): number => some.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const N = calibration?.totalTokens ?? 0;
  const passing = transforms.filter((transform) => isScaling(transform) || transform.name === 'duquant');
  let total = passing.length * N * weightsOf(layers.filter(({ block }) => block !== null));
  for (const transform of transforms)
    if (transform.name === 'awq')
      for (const { parent, balance_layers } of transform.mappings) {
        const inParent = layers.filter(({ name }) => name === parent || name.startsWith(`${parent}.`));
        const balanced = layers.filter(({ name }) => balance_layers.includes(name));
        const block = layers.filter((layer) => layer.block !== null && layer.block === balanced[0]?.block);
        total +=
          N * ((transform.n_grid + 1) * weightsOf(inParent) + weightsOf(block)) +
          40 * transform.n_grid * Math.ceil(N / batchTokens) * weightsOf(balanced);
      }
  return total;
}
