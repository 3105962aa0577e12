// Multiply-adds of the parts of a run: what progress and the time left are told from.
import type { AwqPlan, LayerPlan, QuantizationPlan, QuantizerPlan } from '../../../schemas/src/generated/plan.js';
import { needsPairs } from '../../../schemas/src/modifiers.js';
import { evaluationKinds, evaluationOperations } from './evaluation-estimate.js';
import type { MappingOf, WorkUnit } from './layer-jobs.js';

const weightsOf = (layers: readonly LayerPlan[]): number => layers.reduce((sum, layer) => sum + layer.rows * layer.columns, 0);

/** One pass of the calibration rows through a block. */
export const forwardOperations = (plan: QuantizationPlan, block: number, n_tokens: number): number =>
  n_tokens * weightsOf(plan.layers.filter((layer) => layer.block === block));

/** The inputs of layers and their widths; inputs shared by several layers are counted once for each width and role pair. */
export const inputsOf = (layers: readonly LayerPlan[]): Map<string, number> =>
  new Map(
    layers.map(({ role, columns }) => [`${columns} ${role.replace(/^(k|v)_proj$/, 'q_proj').replace(/^up_proj$/, 'gate_proj')}`, columns]),
  );

/** Bytes of the Hessians of a unit that one pass of the rows would sum; none where each has its own pass anyway. */
export const hessiansOf = ({ block, layers }: WorkUnit): number[] =>
  block === null || layers.some(needsPairs) ? [] : [...inputsOf(layers).values()].map((columns) => 4 * columns ** 2);

/** Hessians of the inputs, half of each because it is symmetric. */
export function observeOperations(unit: WorkUnit, n_tokens: number): number {
  return [...inputsOf(unit.layers).values()].reduce((sum, columns) => sum + (columns * columns * n_tokens) / 2, 0);
}

/** Tokens of a batch, about, as in token-batches.ts: every batch rounds the weights of every point of the grid anew. */
const batchTokens = 4096;

/** AWQ's search for one mapping: the parent for every point of the grid and once as it is, the block up to the parent once, and the roundings. */
export function searchOperations(plan: QuantizationPlan, { plan: { n_grid }, mapping }: MappingOf<AwqPlan>, n_tokens: number): number {
  const { parent, balance_layers } = mapping;
  const inParent = plan.layers.filter(({ name }) => name === parent || name.startsWith(`${parent}.`));
  const balanced = plan.layers.filter(({ name }) => balance_layers.includes(name));
  const block = balanced[0]?.block ?? 0;
  return (
    n_tokens * (n_grid + 1) * weightsOf(inParent) +
    forwardOperations(plan, block, n_tokens) +
    40 * n_grid * Math.ceil(n_tokens / batchTokens) * weightsOf(balanced)
  );
}

/** Solvers in units of n² · rows, and whether they factor a Hessian (⅓ n³) and invert the factor (⅓ n³ more); about, where sweeps skip what stays. */
const solverPasses: Readonly<Record<QuantizerPlan['name'], { passes: number; factors: 0 | 1 | 2 }>> = {
  rtn: { passes: 0, factors: 0 },
  gptq: { passes: 1, factors: 1 },
  hqq: { passes: 0, factors: 0 },
  bitsandbytes: { passes: 0, factors: 0 },
  vptq: { passes: 1, factors: 2 },
  gguf: { passes: 0, factors: 0 },
  beacon: { passes: 8, factors: 1 },
  comq: { passes: 4, factors: 0 },
  gpfq: { passes: 2, factors: 0 },
  qronos: { passes: 4, factors: 2 },
};

/** Of VPTQ's k-means, about: with its walks through the columns, every centroid for every weight each time. */
const kmeansIterations = 30;

/** Rounding to nearest touches each weight a few times, packing and measuring included; a step of HQQ, which takes two powers, about as often, and a step of GGUF's search. */
export function quantizeOperations(layers: readonly LayerPlan[]): number {
  return layers.reduce((sum, { rows, columns, quantizer, scheme }) => {
    const { passes, factors } = solverPasses[quantizer?.name ?? 'rtn'];
    const roundings = 1 + (quantizer?.name === 'hqq' ? quantizer.iters : quantizer?.name === 'gguf' ? 60 : 0);
    const vectors = scheme?.weights?.vectors;
    const search = vectors ? kmeansIterations * (vectors.num_centroids + vectors.num_res_centroids) : 0;
    return sum + (factors / 3) * columns ** 3 + passes * rows * columns * columns + (40 * roundings + search) * rows * columns;
  }, 0);
}

/** All evaluations of both models. */
export const evaluateOperations = (plan: QuantizationPlan): number =>
  evaluationKinds.reduce((sum, kind) => sum + evaluationOperations(plan, kind), 0);
