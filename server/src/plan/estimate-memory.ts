// Peak memory of a run, stage by stage, from shapes alone: on the CPU, and on a CUDA device. Follows the worker: what is alive together is added up here.
//
// T  tokens of a batch (packed documents, about 4096; a longer document is a batch of its own)
// N  tokens of all calibration or evaluation rows
// d  hidden_size, f  intermediate_size, k  num_key_value_heads · head_dim, a  num_attention_heads · head_dim, V  vocab_size
// n  columns of a layer, m  its rows; b  bytes of an element as stored
//
// Measured against the resident size at its peak (Linux, glibc, 2 cores); the table is in test/server/plan/estimate-memory.test.ts. What a CUDA device holds is
// measured by test/worker/run/device-memory.test.ts, what its operations take beside tensors by test/native/scratch-test.cc.
import type { ArchitectureFacts, LayerPlan } from '../../../schemas/src/generated/plan.js';
import { isRotation, needsPairs } from '../../../schemas/src/modifiers.js';
import { processBytes } from '../../../schemas/src/process-bytes.js';
import {
  batchOf,
  largestOf,
  unitsOf,
  type GenerationEstimate,
  type MemoryInput,
  type MemoryStage,
  type RowsEstimate,
} from './memory-terms.js';
import { blockWeights, cachedBytes, headBytes, pairBytes, passedWeights, productBytes, workingBytes } from './memory-of-passes.js';
import { adaptersOf, hessianBytes, quantizingBytes, rotatingBytes, searchBytes, seenBytes, summingBytes } from './memory-of-layers.js';

/** Buffers of finished reads and writes, in pieces of 8 MiB, that wait for the garbage collector: never more than the model is large. */
const pieceBytes = 64 * 2 ** 20;

/** As in the native core's block-cache.cc: what calibration leaves idle while the evaluation takes blocks of other sizes. */
export const idleBytes = 96 * 2 ** 20;

/** As in worker/native/cuda/context.cc: what a CUDA device holds before the first tensor. */
const cublasBytes = 32 * 2 ** 20;

/** As in the worker's greedy-decoding.ts: prompts that are answered together, and the share of the memory for their keys and values. */
const mostTogether = 64;
const keptShare = 0.25;

/** Before the first tensor. */
export const alwaysBytes = ({ onCuda }: MemoryInput, bytesAfter: number): number =>
  onCuda ? cublasBytes : processBytes + Math.min(pieceBytes, bytesAfter);

export function memoryStages(input: MemoryInput, bytesAfter: number): MemoryStage[] {
  const { architecture } = input.model;
  const always = alwaysBytes(input, bytesAfter);
  const stages: MemoryStage[] = [];
  const add = (name: string, bytes: number): void => void stages.push({ name, bytes: Math.ceil(always + bytes) });
  const changed = input.layers.filter((layer) => layer.scheme?.weights ?? input.pruned?.has(layer.name));
  if (input.transforms.some(isRotation)) add('folding rotations into the weights', rotatingBytes(input));
  const units = unitsOf(changed);
  const changing = `${changed.some(({ scheme }) => scheme?.weights) ? 'quantizing' : 'pruning'} a block`;
  const unitBytes = largestOf(units, (unit) => quantizingBytes(unit, input));
  // Hidden states of the model as it is, of its quantized blocks, and of what is measured, beside all that the run holds.
  const canary = !input.canary || architecture === null ? 0 : 3 * cachedBytes(architecture, input.canary, input.memoryLimit / 3);
  const measuring = canary + canaryBytes(input);
  if (input.calibration === null || architecture === null) {
    add(changing, canary + unitBytes);
    if (canary > 0) add('measuring the canary', measuring);
  } else {
    const { calibration } = input;
    const pairs = input.layers.some(needsPairs);
    const rows = cachedBytes(architecture, calibration, input.memoryLimit / (pairs ? 2 : 1)) * (pairs ? 2 : 1);
    if (canary > 0) add('measuring the canary', rows + measuring);
    const hidden = rows + canary;
    const hessians = largestOf(units, (unit) => hessianBytes(unit, input));
    // Where errors are corrected, what is quantized of the block stays beside what was: worker/src/jobs/quantized-so-far.ts.
    const beside = (layer: LayerPlan): number =>
      Math.max(productBytes(layer, batchOf(calibration), input), summingBytes(layer, calibration, input));
    const weights = blockWeights(input.layers, beside) * (pairs ? 2 : 1);
    add(
      'calibrating a block',
      hidden + weights + hessians + workingBytes(architecture, calibration) + (pairs ? pairBytes(architecture, calibration) : 0),
    );
    if (input.transforms.some(({ name }) => name === 'duquant'))
      add('seeing what is rotated', hidden + weights + seenBytes(architecture) + workingBytes(architecture, calibration));
    const search = searchBytes(architecture, input);
    if (search > 0) add('searching scales in a block', hidden + weights + search + workingBytes(architecture, calibration));
    // The rest of the block is quantized while its weights, its Hessians and the hidden states wait.
    add(changing, hidden + weights + hessians + unitBytes);
  }
  if (input.evaluation !== null && architecture !== null) {
    const { evaluation } = input;
    const hidden = cachedBytes(architecture, evaluation, input.memoryLimit);
    // A quantized weight is dequantized when it is loaded, so the block is as large as before.
    const weights = passedWeights(evaluation, input);
    const adapters = largestOf(units, (unit) => adaptersOf(unit, input));
    const idle = input.calibration === null || input.onCuda ? 0 : Math.min(idleBytes, workingBytes(architecture, input.calibration));
    add('evaluating a block', hidden + weights + adapters + idle + workingBytes(architecture, evaluation));
    add('evaluating the head', hidden + idle + headBytes(architecture, input, evaluation));
  }
  if (input.generation && architecture !== null) add('generating', generatingBytes(architecture, input, input.generation));
  return stages;
}

/** The same run when it has given up what it can: see the worker's memory-governor.ts. */
export function leastMemoryStages(input: MemoryInput, bytesAfter: number): MemoryStage[] {
  const least = (rows: RowsEstimate | null): RowsEstimate | null => rows && { ...rows, isLeast: true };
  const generation = input.generation && { ...input.generation, questions: 1 };
  return memoryStages(
    {
      ...input,
      calibration: least(input.calibration),
      evaluation: least(input.evaluation),
      canary: least(input.canary ?? null),
      ...(generation ? { generation } : {}),
    },
    bytesAfter,
  );
}

/** All weights at once, as a reader computes them; keys and values (8 · layers · k bytes a token) of the prompts that are answered together; the activations of what is read. */
function generatingBytes(facts: ArchitectureFacts, input: MemoryInput, { questions, tokens }: GenerationEstimate): number {
  const { model, layers, memoryLimit } = input;
  const kept = 8 * facts.num_hidden_layers * facts.num_key_value_heads * facts.head_dim * tokens;
  const together = Math.max(1, Math.min(mostTogether, questions, Math.floor((keptShare * memoryLimit) / kept)));
  const weights = model.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  const widest = largestOf(layers, (layer) => productBytes(layer, together * tokens, input));
  return (
    weights +
    widest +
    together * kept +
    workingBytes(facts, { samples: together, tokens, totalTokens: together * tokens, isLeast: questions === 1 })
  );
}

/** Its rows in a block, or both heads on them. */
function canaryBytes(input: MemoryInput): number {
  const {
    canary,
    model: { architecture },
  } = input;
  if (!canary || architecture === null) return 0;
  const weights = passedWeights(canary, input);
  return Math.max(weights + workingBytes(architecture, canary), 2 * headBytes(architecture, input, canary));
}
