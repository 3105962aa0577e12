// Peak memory of an analysis and of a search for bits, for each thing that can be measured, with the letters of estimate-memory.ts. Follows worker/src/analyze:
// the model is as it is, all layers that are measured have Hessians where there are rows, and one candidate is there at a time. Measured in
// test/server/plan/estimate-analysis.test.ts and test/worker/analyze/estimate.test.ts.
import { hasGradient } from '../../../schemas/src/analysis-measures.js';
import type { AnalysisNeed, ArchitectureFacts, LayerPlan, MemoryNeed } from '../../../schemas/src/generated/plan.js';
import { layersOfDistinctBlocks } from './distinct-blocks.js';
import {
  batchOf,
  blocks,
  blocksOf,
  elements,
  largestOf,
  sizeOf,
  unitsOf,
  type MemoryInput,
  type MemoryStage,
  type RowsEstimate,
} from './memory-terms.js';
import { blockWeights, cachedBytes, cacheShare, headBytes, passedWeights, productBytes, workingBytes } from './memory-of-passes.js';
import { hessianBytes, solvingBytes, summingBytes } from './memory-of-layers.js';
import { alwaysBytes, idleBytes } from './estimate-memory.js';
import { memoryNeed } from './estimate-plan.js';
import { storedBytes } from './estimate-size.js';

/** As in the worker's gradient-measures.ts: tokens of a batch that a tape records. */
const recordedTokens = 1024;

type Stages = Partial<Record<AnalysisNeed['measure'], MemoryStage[]>>;

/** `evaluation`: the text that the whole model is measured on. */
export function analysisNeeds(input: Omit<MemoryInput, 'storedBytes'>, bytesAfter: number): AnalysisNeed[] {
  const layers = layersOfDistinctBlocks(input.layers, [], new Set());
  const measured = layers.filter((layer) => layer.scheme?.weights);
  // Every layer that is measured has a Hessian, as if it were pruned; transforms are not applied.
  const alike = { ...input, layers, storedBytes: storedAtMost, transforms: [], pruned: new Set(measured.map(({ name }) => name)) };
  const units = unitsOf(measured);
  const least = (rows: RowsEstimate | null): RowsEstimate | null => rows && { ...rows, isLeast: true };
  const stages = (one: MemoryInput): [Stages, Stages] => [
    stagesOf(one, units, bytesAfter),
    stagesOf({ ...one, calibration: least(one.calibration), evaluation: least(one.evaluation) }, units, bytesAfter),
  ];
  const [cpu, cuda] = [stages(alike), stages({ ...alike, memoryLimit: 0, onCuda: true })];
  const needOf = ([usual, smallest]: [Stages, Stages], measure: AnalysisNeed['measure']): MemoryNeed =>
    memoryNeed(usual[measure] ?? [], smallest[measure] ?? []);
  return (Object.keys(cpu[0]) as AnalysisNeed['measure'][]).map((measure) => ({
    measure,
    ...needOf(cpu, measure),
    cuda: needOf(cuda, measure),
  }));
}

function stagesOf(input: MemoryInput, units: readonly LayerPlan[][], bytesAfter: number): Stages {
  const { calibration, evaluation, layers, model, memoryLimit } = input;
  const facts = model.architecture;
  const always = alwaysBytes(input, bytesAfter);
  const stage = (name: string, bytes: number): MemoryStage => ({ name, bytes: Math.ceil(always + bytes) });
  if (units.length === 0) return {};
  // What stands while the layers of a block are measured one after the other: the rows have half of what hidden states may take.
  const rows = facts && calibration ? cachedBytes(facts, calibration, memoryLimit / 2) : 0;
  const hessians = calibration ? largestOf(units, (unit) => hessianBytes(unit, input)) : 0;
  const own = (unit: readonly LayerPlan[]): number => unit.reduce((sum, layer) => sum + elements(layer) * sizeOf(layer), 0);
  const weights = calibration
    ? blockWeights(layers, (layer) => Math.max(productBytes(layer, batchOf(calibration), input), summingBytes(layer, calibration, input)))
    : largestOf(units, own);
  const standing = rows + hessians + weights;
  // Squared gradients of the layer come back from their file.
  const candidate = largestOf(units.flat(), (layer) => solvingBytes(layer, input) + storedAtMost(layer) + blocks(1, 2 * elements(layer)));
  const measuring = (others: number): MemoryStage[] => [
    ...(facts && calibration ? [stage('calibrating a block', standing + others + workingBytes(facts, calibration))] : []),
    stage('quantizing a layer', standing + others + candidate),
  ];
  const found: Stages = { layers: measuring(0) };
  if (facts === null) return found;
  if (evaluation !== null) {
    const whole = (beside: number): MemoryStage[] => [
      stage('measuring the whole model', beside + passedWeights(evaluation, input) + workingBytes(facts, evaluation)),
      stage('comparing predictions', beside + 2 * headBytes(facts, input, evaluation)),
    ];
    const hidden = 3 * cachedBytes(facts, evaluation, memoryLimit / 6);
    const idle = calibration === null || input.onCuda ? 0 : Math.min(idleBytes, workingBytes(facts, calibration));
    const kept = largestOf(
      units.flat(),
      (layer) => blocks(1, elements(layer) * sizeOf(layer)) + (calibration ? 4 * layer.columns ** 2 : 0),
    );
    found.end_to_end = [...measuring(hidden), ...whole(standing + hidden + kept + idle)];
    // Codes of a kept weight beside what they become.
    found.search = whole(3 * cachedBytes(facts, evaluation, memoryLimit / 3) + largestOf(units.flat(), storedAtMost));
  }
  const back = units.filter(([layer]) => layer && hasGradient(model, layer));
  if (calibration === null || back.length === 0) return found;
  for (const measure of ['fisher', 'hessian_trace'] as const)
    found[measure] = gradientStages(measure, facts, calibration, back, input, stage);
  return found;
}

/** The inputs of all blocks down to the first that is measured, and the gradients between two; then one block, or the head, with its tape. */
function gradientStages(
  measure: 'fisher' | 'hessian_trace',
  facts: ArchitectureFacts,
  calibration: RowsEstimate,
  back: readonly LayerPlan[][],
  input: MemoryInput,
  stage: (name: string, bytes: number) => MemoryStage,
): MemoryStage[] {
  const { hidden_size: d, vocab_size: V, num_hidden_layers } = facts;
  const first = back.reduce((least, [layer]) => Math.min(least, layer?.block ?? num_hidden_layers), num_hidden_layers);
  const n_caches = num_hidden_layers - first + 2;
  // Inputs of blocks are laid down once; the gradients take each other's place, as hidden states between blocks do.
  const inputs = calibration.isLeast ? 0 : Math.min(4 * d * calibration.totalTokens, (cacheShare * input.memoryLimit) / n_caches);
  const hidden = (n_caches - 1) * inputs + cachedBytes(facts, calibration, input.memoryLimit / n_caches);
  const T = Math.min(calibration.totalTokens, Math.max(calibration.isLeast ? 0 : recordedTokens, calibration.tokens));
  const beside = (unit: readonly LayerPlan[]): number => gradientBytes(measure, unit, T, input);
  const inBlocks = blocksOf(input.layers.filter(({ block }) => block !== null));
  const withGradients = new Map(back.map((unit) => [unit[0]?.block, unit]));
  const block = largestOf(
    inBlocks,
    (layers) => blockWeights(layers, (layer) => productBytes(layer, T, input)) + beside(withGradients.get(layers[0]?.block ?? null) ?? []),
  );
  const head = input.layers.find(({ name }) => name === facts.lm_head);
  // Logits of a document and their gradient, with the signs their products too; the gradients of the batch beside, on their way through JavaScript.
  const L = calibration.tokens;
  const headWeight = head ? elements(head) * sizeOf(head) + productBytes(head, L, input) : 4 * V * d;
  return [
    stage('taking gradients through a block', hidden + block + tapeBytes(facts, T)),
    stage(
      'taking gradients through the head',
      hidden + headWeight + beside(withGradients.get(null) ?? []) + blocks(2, 4 * L * V) + blocks(2, 4 * T * d) + blocks(3, 4 * L * d),
    ),
  ];
}

/** Fisher: the sums of all (4 m n) and a document's gradient of one. Hessian: weights in F32 in place of what they are, signs (2 m n), and one product with them. */
function gradientBytes(measure: 'fisher' | 'hessian_trace', unit: readonly LayerPlan[], T: number, input: MemoryInput): number {
  if (measure === 'fisher')
    return unit.reduce(
      (sum, layer) => sum + 4 * elements(layer),
      largestOf(unit, (layer) => blocks(1, 4 * elements(layer))),
    );
  return unit.reduce(
    (sum, layer) => sum + (6 - sizeOf(layer)) * elements(layer),
    largestOf(unit, (layer) => productBytes({ ...layer, dtype: 'BF16' }, T, input) + blocks(1, 4 * T * layer.rows)),
  );
}

/** All that a block's operations take and answer, and on the way back the gradients behind the product of gate and up, or behind attention. */
function tapeBytes(
  { hidden_size: d, intermediate_size: f, num_attention_heads, num_key_value_heads, head_dim }: ArchitectureFacts,
  T: number,
): number {
  const [a, k] = [num_attention_heads * head_dim, num_key_value_heads * head_dim];
  const kept = blocks(9, 4 * T * d) + blocks(3, 4 * T * f) + blocks(3, 4 * T * a) + blocks(3, 4 * T * k);
  return kept + Math.max(blocks(3, 4 * T * f), blocks(2, 4 * T * a) + blocks(2, 4 * T * k));
}

/** With the most bits that an analysis tries. */
function storedAtMost(layer: LayerPlan): number {
  const { scheme } = layer;
  return scheme?.weights
    ? storedBytes(layer, { ...scheme, format: 'pack-quantized', weights: { ...scheme.weights, num_bits: 8 } }, sizeOf(layer))
    : 0;
}
