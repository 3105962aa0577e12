// What it takes to change layers: Hessians, the search for scales, rotations, and a quantizer or a pruner at work on one.
import type { ArchitectureFacts, LayerPlan } from '../../../schemas/src/generated/plan.js';
import { isSolved, needsPairs } from '../../../schemas/src/modifiers.js';
import { adapterBytes } from './estimate-size.js';
import { batchOf, batchTokens, blocks, elements, largestOf, sizeOf, type MemoryInput, type RowsEstimate } from './memory-terms.js';

/** As in worker/native/transforms/hadamard.cu, and in worker/native/quantizers/kmeans.cu. */
const doublesAtATime = 2 ** 23;
const mostTallies = 2 ** 24;

/** A Hessian on a CUDA device: the sum of a batch, and its rows in two parts (worker/native/observers); of those that are compared both. */
export function summingBytes(layer: LayerPlan, rows: RowsEstimate, input: MemoryInput): number {
  if (!input.onCuda || !needsHessian(layer, input)) return 0;
  const parts = 4 * Math.min(batchOf(rows), batchTokens) * layer.columns;
  return Math.max(blocks(1, 4 * layer.columns ** 2) + blocks(1, parts), needsPairs(layer) ? blocks(2, parts) : 0);
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
 * AWQ's search, beside a pass of the rows: the parent's output as it is (T · d), and the weights of one point of the grid (m · n · b), one of them three
 * times more while it is scaled, rounded and divided. 0 without a search.
 */
export function searchBytes({ hidden_size: d }: ArchitectureFacts, { layers, calibration, transforms, onCuda }: MemoryInput): number {
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
export const rotatingBytes = ({ layers, onCuda }: MemoryInput): number =>
  largestOf(
    layers,
    (layer) => blocks(3, elements(layer) * sizeOf(layer)) + (onCuda ? blocks(2, 8 * Math.min(elements(layer), doublesAtATime)) : 0),
  );

/** DuQuant: products of the hidden states (d²), as they are, turned on one side and on both, and of the values of a block (a²). */
export const seenBytes = ({ hidden_size: d, num_attention_heads, head_dim }: ArchitectureFacts): number =>
  blocks(3, 4 * d * d) + blocks(1, 4 * (num_attention_heads * head_dim) ** 2);

/**
 * A unit while its layers are quantized, one after the other: the weights of its own layers, what is stored of all of them, and the most that one
 * layer takes. GPTQ: the factor (n²), its working copy (n², in double precision when it has to be repeated, which is not counted), W in solving
 * order (4 m n), the errors of both norms (12 m n), and SparseGPT as much; any: codes or a mask (m n) and the weight that a reader computes (m n b). An adapter:
 * what quantization takes and its product with H (8 m n) when the rest is given back, and r (m + n) b for each layer until the unit is written.
 */
export function quantizingBytes(unit: readonly LayerPlan[], input: MemoryInput): number {
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

export const adaptersOf = (unit: readonly LayerPlan[], { transforms }: MemoryInput): number =>
  unit.reduce((sum, layer) => sum + adapterBytes(layer, transforms), 0);

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
