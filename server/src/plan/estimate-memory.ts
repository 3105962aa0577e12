// Peak memory of a run, stage by stage, from shapes alone: on the CPU, and on a CUDA device. Follows the worker: what is alive together is added up here.
//
// T  tokens of a batch (packed documents, about 4096; a longer document is a batch of its own)
// N  tokens of all calibration or evaluation rows
// d  hidden_size, f  intermediate_size, k  num_key_value_heads · head_dim, a  num_attention_heads · head_dim, V  vocab_size
// n  columns of a layer, m  its rows; b  bytes of an element as stored
//
// Measured against the resident size at its peak (Linux, glibc, 2 cores); the table is in test/server/plan/estimate-memory.test.ts. What a CUDA device holds is
// measured by test/worker/run/device-memory.test.ts, what its operations take beside tensors by test/native/scratch-test.cc.
import type { ArchitectureFacts, LayerPlan, ModelDescription, TransformPlan } from '../../../schemas/src/generated/plan.js';
import { groupBy } from '../../../schemas/src/group-by.js';
import { isRotation, isSolved, needsPairs } from '../../../schemas/src/modifiers.js';
import { processBytes } from '../../../schemas/src/process-bytes.js';
import { adapterBytes, sizeOfDtype } from './estimate-size.js';

export interface MemoryStage {
  /** Completes "while …". */
  name: string;
  bytes: number;
}

export interface RowsEstimate {
  samples: number;
  /** Per row, at most. */
  tokens: number;
  /** Of all rows, at most. */
  totalTokens: number;
  /** What a run that lacks memory makes of them: one row at a time, and that in pieces, hidden states in files, few logits. Absent: no. */
  isLeast?: boolean;
}

/** Questions that are answered token by token. */
export interface GenerationEstimate {
  questions: number;
  /** Of a prompt and its answer, at most. */
  tokens: number;
}

export interface MemoryInput {
  model: ModelDescription;
  layers: readonly LayerPlan[];
  calibration: RowsEstimate | null;
  evaluation: RowsEstimate | null;
  /** Absent: nothing is generated. */
  generation?: GenerationEstimate | null;
  /** Absent: none. */
  canary?: RowsEstimate | null;
  transforms: readonly TransformPlan[];
  /** Names of the layers that are pruned; absent: none. */
  pruned?: ReadonlySet<string>;
  /** Bytes that the run may use; hidden states beyond 40 % of it go to files. On a CUDA device 0: they get what is left, or lie on the host. */
  memoryLimit: number;
  /** Absent: the CPU's. */
  onCuda?: boolean;
  storedBytes(layer: LayerPlan): number;
}

/** Buffers of finished reads and writes, in pieces of 8 MiB, that wait for the garbage collector: never more than the model is large. */
const pieceBytes = 64 * 2 ** 20;
/** Freed blocks of this size go back to the system. Smaller ones are kept, and others are taken while they lie idle: about twice as much, measured. */
const returnedBlock = 32 * 2 ** 20;
const keptFactor = 2;
/** As in the native core's block-cache.cc: what calibration leaves idle while the evaluation takes blocks of other sizes. */
export const idleBytes = 96 * 2 ** 20;
/** As in worker/native/cuda/context.cc: what a CUDA device holds before the first tensor. */
const cublasBytes = 32 * 2 ** 20;
/** As in the worker's token-batches.ts, and in worker/native/core/split-bf16.h: rows that are split at a time. */
const batchTokens = 4096;
/** As in the worker's run.ts and perplexity.ts. */
export const cacheShare = 0.4;
/** As in the worker's perplexity.ts: logits in memory at a time. */
const logitBytes = 64 * 2 ** 20;
/** As in the worker's memory-governor.ts: fewer logits are not computed at a time. */
const fewLogitBytes = 4 * 2 ** 16;
/** As in the worker's by-rows.ts: the last piece of a sequence takes what is left. */
const mostInPiece = 511;
/** As in the worker's greedy-decoding.ts: prompts that are answered together, and the share of the memory for their keys and values. */
const mostTogether = 64;
const keptShare = 0.25;
/** As in worker/native/transforms/hadamard.cu, and in worker/native/quantizers/kmeans.cu. */
const doublesAtATime = 2 ** 23;
const mostTallies = 2 ** 24;
/** Text, ids, positions and offsets of a token, in JavaScript and native. */
const bytesOfToken = 24;

/** `count` tensors of one size that come and go, with what the allocator keeps of them. */
export const blocks = (count: number, bytes: number): number => count * bytes * (bytes < returnedBlock ? keptFactor : 1);

export const elements = ({ rows, columns }: LayerPlan): number => rows * columns;

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

/** d · N numbers between two blocks, kept for every row up to a share of the memory; and the tokens themselves. */
export function cachedBytes(
  { hidden_size: d }: ArchitectureFacts,
  { totalTokens: N, tokens, isLeast }: RowsEstimate,
  memoryLimit: number,
): number {
  if (isLeast) return bytesOfToken * N;
  const T = batchOf({ samples: 0, tokens, totalTokens: N });
  const hidden = Math.min(4 * d * N, cacheShare * memoryLimit);
  return blocks(Math.ceil(N / Math.max(1, T)), hidden / Math.max(1, Math.ceil(N / Math.max(1, T)))) + bytesOfToken * N;
}

export const batchOf = ({ tokens, totalTokens, isLeast }: RowsEstimate): number =>
  Math.min(totalTokens, isLeast ? tokens : Math.max(batchTokens, tokens));

/**
 * Activations of one batch that are alive together, F32. In the MLP: attention output, residual, norm, down, result (T · d each), gate, up and
 * their product (T · f each). In attention: norm, projection, result (T · d), queries before and after turning, mix (T · a), keys and values (T · k).
 * At the least, of a sequence in pieces of R rows: what was and is, norm, the input of down, keys, values and mix; all else for R rows.
 */
export function workingBytes(facts: ArchitectureFacts, rows: RowsEstimate): number {
  const T = batchOf(rows);
  const { hidden_size: d, intermediate_size: f, num_attention_heads, num_key_value_heads, head_dim } = facts;
  const [a, k] = [num_attention_heads * head_dim, num_key_value_heads * head_dim];
  const R = Math.min(T, mostInPiece);
  if (rows.isLeast && R < T)
    return (
      blocks(3, 4 * T * d) +
      Math.max(blocks(1, 4 * T * f), blocks(1, 4 * T * a) + blocks(2, 4 * T * k)) +
      blocks(3, 4 * R * Math.max(d, f, a))
    );
  const mlp = blocks(5, 4 * T * d) + blocks(3, 4 * T * f);
  const attention = blocks(3, 4 * T * d) + blocks(3, 4 * T * a) + blocks(3, 4 * T * k);
  return Math.max(mlp, attention);
}

/**
 * AWQ's search, beside a pass of the rows: the parent's output as it is (T · d), and the weights of one point of the grid (m · n · b), one of them three
 * times more while it is scaled, rounded and divided. 0 without a search.
 */
function searchBytes({ hidden_size: d }: ArchitectureFacts, { layers, calibration, transforms, onCuda }: MemoryInput): number {
  if (calibration === null) return 0;
  const mappings = transforms.flatMap((transform) => (transform.name === 'awq' ? transform.mappings : []));
  return largestOf(mappings, ({ balance_layers }) => {
    const members = layers.filter(({ name }) => balance_layers.includes(name));
    const sizes = members.map((layer) => elements(layer) * sizeOf(layer));
    return (
      blocks(1, 4 * batchOf(calibration) * d) +
      sizes.reduce((sum, bytes) => sum + blocks(1, bytes), 0) +
      blocks(3, Math.max(0, ...sizes)) +
      (onCuda ? largestOf(members, rangeBytes) : 0)
    );
  });
}

/** The widest matrix as it was, as it becomes, and its bytes on the way to the file (m · n · b each); on a CUDA device it is turned in double precision (worker/native/transforms/hadamard.cu). */
const rotatingBytes = ({ layers, onCuda }: MemoryInput): number =>
  largestOf(
    layers,
    (layer) => blocks(3, elements(layer) * sizeOf(layer)) + (onCuda ? blocks(2, 8 * Math.min(elements(layer), doublesAtATime)) : 0),
  );

/** DuQuant: products of the hidden states (d²), as they are, turned on one side and on both, and of the values of a block (a²). */
const seenBytes = ({ hidden_size: d, num_attention_heads, head_dim }: ArchitectureFacts): number =>
  blocks(3, 4 * d * d) + blocks(1, 4 * (num_attention_heads * head_dim) ** 2);

/** All tensors of the largest block as stored (m · n · b), and what is taken beside for one of them. */
export const blockWeights = (layers: readonly LayerPlan[], beside: (layer: LayerPlan) => number): number =>
  largestOf(blocksOf(layers), (members) =>
    members.reduce((sum, layer) => sum + elements(layer) * sizeOf(layer), largestOf(members, beside)),
  );

/** The same while rows pass through it. */
export const passedWeights = (rows: RowsEstimate, input: MemoryInput): number =>
  blockWeights(input.layers, (layer) => productBytes(layer, batchOf(rows), input));

/** What a product of T rows takes of a weight that is not F32: its copy in F32; on a CUDA device of a BF16 weight the rows in three parts (worker/native/forward/linear.cu). */
export function productBytes(layer: LayerPlan, T: number, { onCuda }: MemoryInput): number {
  if (sizeOf(layer) === 4) return 0;
  return blocks(1, onCuda && layer.dtype === 'BF16' ? 6 * Math.min(T, batchTokens) * layer.columns : 4 * elements(layer));
}

/** A Hessian on a CUDA device: the sum of a batch, and its rows in two parts (worker/native/observers); of those that are compared both. */
export function summingBytes(layer: LayerPlan, rows: RowsEstimate, input: MemoryInput): number {
  if (!input.onCuda || !needsHessian(layer, input)) return 0;
  const parts = 4 * Math.min(batchOf(rows), batchTokens) * layer.columns;
  return Math.max(blocks(1, 4 * layer.columns ** 2) + blocks(1, parts), needsPairs(layer) ? blocks(2, parts) : 0);
}

/** Inputs of the linears of a block in the unquantized model, kept for a batch while those behind quantized blocks are computed: T · (2 d + a + f). */
function pairBytes(facts: ArchitectureFacts, rows: RowsEstimate): number {
  const { hidden_size: d, intermediate_size: f, num_attention_heads, head_dim } = facts;
  return blocks(1, 4 * batchOf(rows) * (2 * d + num_attention_heads * head_dim + f));
}

/** One H of n² F32 for every input of the unit, and a product with the other inputs where they are compared, one input at a time. Which linears share an input is known by their width; q, k, v and o may share theirs and have two. */
export function hessianBytes(unit: readonly LayerPlan[], input: MemoryInput): number {
  const inputs = new Map<string, number>();
  for (const layer of unit)
    if (needsHessian(layer, input) || adapterBytes(layer, input.transforms) > 0) inputs.set(inputOf(layer), layer.columns);
  const squares = [...inputs.values()].map((n) => 4 * n * n);
  // One input after the other, with both products; or where memory is short (worker/src/memory/memory-governor.ts).
  if (unit.some(needsPairs)) return 2 * Math.max(0, ...squares);
  return input.calibration?.isLeast ? Math.max(0, ...squares) : squares.reduce((sum, bytes) => sum + bytes, 0);
}

const needsHessian = (layer: LayerPlan, { pruned }: MemoryInput): boolean => isSolved(layer) || (pruned?.has(layer.name) ?? false);

/** Roles that read one and the same tensor in the Llama family. */
function inputOf({ role, columns }: LayerPlan): string {
  if (/^[qkv]_proj$/.test(role)) return 'attention';
  return /^(gate|up)_proj$/.test(role) ? 'mlp' : `${role} ${columns}`;
}

/**
 * A unit while its layers are quantized, one after the other: the weights of its own layers, what is stored of all of them, and the most that one
 * layer takes. GPTQ: the factor (n²), its working copy (n², in double precision when it has to be repeated, which is not counted), W in solving
 * order (4 m n), the errors of both norms (12 m n), and SparseGPT as much; any: codes or a mask (m n) and the weight that a reader computes (m n b). An adapter:
 * what quantization takes and its product with H (8 m n) when the rest is given back, and r (m + n) b for each layer until the unit is written.
 */
function quantizingBytes(unit: readonly LayerPlan[], input: MemoryInput): number {
  const { calibration, storedBytes } = input;
  const own = calibration === null ? unit.reduce((sum, layer) => sum + elements(layer) * sizeOf(layer), 0) : 0;
  const stored = unit.reduce((sum, layer) => sum + storedBytes(layer), 0);
  const residual = (layer: LayerPlan): number => (adapterBytes(layer, input.transforms) > 0 ? blocks(2, 4 * elements(layer)) : 0);
  return (
    own + stored + adaptersOf(unit, input) + Math.max(0, ...unit.map((layer) => Math.max(solvingBytes(layer, input), residual(layer))))
  );
}

/** Of one layer, beside its weight and its Hessian. */
export function solvingBytes(layer: LayerPlan, input: MemoryInput): number {
  const mn = elements(layer);
  // NVFP4 divides by F32 scales, so the weight that comes back is F32 before it is rounded to BF16.
  const isTwoLevel = layer.scheme?.weights?.strategy === 'tensor_group';
  const shared =
    blocks(1, mn) +
    blocks(1, mn * sizeOf(layer)) +
    (isTwoLevel ? blocks(1, 4 * mn) + blocks(1, mn / 4) : 0) +
    (input.onCuda ? rangeBytes(layer) : 0);
  if (!needsHessian(layer, input)) return shared;
  // Other solvers hold one more product of n², and up to two more weights (a corrected one, a second solution).
  const isGptq = layer.quantizer === null || layer.quantizer.name === 'gptq';
  return (
    shared + blocks(isGptq ? 2 : 3, 4 * layer.columns ** 2) + Math.max(blocks(isGptq ? 3 : 5, 4 * mn), input.onCuda ? vptqBytes(layer) : 0)
  );
}

const adaptersOf = (unit: readonly LayerPlan[], { transforms }: MemoryInput): number =>
  unit.reduce((sum, layer) => sum + adapterBytes(layer, transforms), 0);

/** Norm and logits of a batch, and the head's weight as stored and in F32. */
export function headBytes(facts: ArchitectureFacts, input: MemoryInput, rows: RowsEstimate): number {
  const { hidden_size: d, vocab_size: V, lm_head } = facts;
  const head = input.layers.find((layer) => layer.name === lm_head);
  const T = batchOf(rows);
  const logits = Math.max(4 * V, Math.min(rows.isLeast ? fewLogitBytes : logitBytes, 4 * T * V));
  const weight = head === undefined ? 4 * V * d : V * d * sizeOf(head) + productBytes(head, logits / (4 * V), input);
  return blocks(2, 4 * T * d) + weight + blocks(1, logits);
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

/** Ranges of the cells of a weight on a CUDA device, while the best are searched (worker/native/quantizers/range-search.cuh). */
function rangeBytes({ scheme, rows, columns }: LayerPlan): number {
  const { group_size, strategy } = scheme?.weights ?? {};
  if (strategy === undefined) return 0;
  return blocks(1, 36 * rows * (group_size ? columns / group_size : 1));
}

/** VPTQ on a CUDA device (worker/native/quantizers/vptq.cu): the k-means of the vectors of a group, or a walk. */
function vptqBytes(layer: LayerPlan): number {
  const { vectors } = layer.scheme?.weights ?? {};
  if (layer.quantizer?.name !== 'vptq' || !vectors) return 0;
  const mn = elements(layer);
  const { vector_len, num_centroids, num_res_centroids, group_num } = vectors;
  const n = mn / vector_len / group_num;
  const left = num_res_centroids > 0 ? 4 * mn : 0;
  const means = blocks(1, (4 * mn) / group_num) + blocks(1, 24 * n) + 4 * Math.min(mostTallies, 1024 * num_centroids);
  const walk =
    4 * layer.rows * (layer.columns + layer.quantizer.block_size) +
    (16 * layer.quantizer.block_size * layer.rows) / Math.min(4, vector_len);
  return blocks(1, left) + Math.max(means, blocks(1, walk) + (left > 0 ? blocks(1, (4 * mn) / group_num + 4 * n) : 0));
}

/** What the worker finishes as one: the layers of a block, and every layer outside of the blocks by itself. */
export function unitsOf(changed: readonly LayerPlan[]): LayerPlan[][] {
  return [...blocksOf(changed), ...changed.filter((layer) => layer.block === null).map((layer) => [layer])];
}

/** The layers of each block. */
export const blocksOf = (layers: readonly LayerPlan[]): LayerPlan[][] => [...groupBy(layers, ({ block }) => block).values()];

/** 0 for none; a model may have more units than a call has room for arguments. */
export const largestOf = <Item>(items: readonly Item[], bytes: (item: Item) => number): number =>
  items.reduce((most, item) => Math.max(most, bytes(item)), 0);

export const sizeOf = (layer: LayerPlan): number => sizeOfDtype(layer.dtype);
