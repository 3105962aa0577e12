// AWQ: scales by how strong the inputs of a channel are, and of a grid of exponents the one whose rounded weights keep the parent's output best.
// Lin et al., arXiv 2306.00978, section 3.2; the grid, duo scaling and the normalisation as in llm-compressor 0.13 (modifiers/transform/awq/base.py).
//
//   X     input of the balance layers over the calibration rows       W   their weights
//   s_X   mean |X| per channel                                        w   mean over the rows of |W| / max |W| of the cell that shares a scale
//   α     ratio, from 0 to 1                                          s   s_X^α, or with duo scaling s_X^α / (w^(1-α) + 1e-4)
//   L(s)  ‖ parent(Q(W · s) / s, X) − parent(W, X) ‖² per element, Q: round to nearest over the range of the scaled weight
//
// The parent is the lowest module that holds all balance layers: attention, MLP, or the one linear.
// Unlike llm-compressor, nothing is kept of a batch (there: the inputs and outputs of the parent for all rows) and rows see the quantized blocks before.
// Cost of a mapping, n grid points, T tokens, P weights in the parent, B in the balance layers: (n + 1) · T · P, about 40 · n · B for each batch of
// 4096 tokens, and one more pass of the rows through the block; beside it one pass for the means of all mappings of a block.
import type { AwqPlan } from '../../../schemas/src/generated/plan.js';
import type { WeightArgs } from '../tensor/grid-args.js';
import { awqScales, awqWeightSumAccumulate, divideColumns, multiplyColumns } from '../tensor/operations/transforms.js';
import type { Device, Tensor } from '../tensor/tensor.js';

export interface GridPoint {
  ratio: number;
  duo_scaling: boolean;
}

/** The first point leaves the weights as they are: its loss is the one before. */
export function gridOf({ duo_scaling, n_grid }: Pick<AwqPlan, 'duo_scaling' | 'n_grid'>): GridPoint[] {
  const ratios = (n: number): number[] => Array.from({ length: n }, (_, index) => index / Math.max(1, n - 1));
  if (duo_scaling === 'both')
    return ratios(Math.floor(n_grid / 2)).flatMap((ratio) => [false, true].map((duo) => ({ ratio, duo_scaling: duo })));
  if (!duo_scaling) return ratios(n_grid).map((ratio) => ({ ratio, duo_scaling: false }));
  return [{ ratio: 0, duo_scaling: false }, ...ratios(n_grid - 1).map((ratio) => ({ ratio, duo_scaling: true }))];
}

/** Σ of w over the rows of the balance layers that are quantized: F64 [columns], the caller's. */
export function weightSums(device: Device, columns: number, quantized: readonly { weight: Tensor; args: WeightArgs }[]): Tensor {
  const sums = device.zeros('F64', [columns]);
  for (const { weight, args } of quantized) awqWeightSumAccumulate(sums, weight, { strategy: args.strategy, group_size: args.group_size });
  return sums;
}

export interface Magnitudes {
  /** F64 [columns], over n_tokens tokens. */
  xSum: Tensor;
  n_tokens: number;
  /** F64 [columns], over n_rows rows. */
  wSum: Tensor;
  n_rows: number;
}

/** s of one point, the caller's. */
export const scalesOf = ({ xSum, wSum, n_tokens, n_rows }: Magnitudes, { ratio, duo_scaling }: GridPoint): Tensor =>
  awqScales(xSum, duo_scaling ? wSum : null, { n_tokens, n_rows, ratio });

/** Q(W · s) / s, the caller's. */
export function roundedUnderScales(weight: Tensor, s: Tensor, round: (scaled: Tensor) => Tensor): Tensor {
  using scaled = multiplyColumns(weight, s);
  using rounded = round(scaled);
  return divideColumns(rounded, s);
}

/** The first point with the least loss; null where no loss is finite. */
export function bestOf(losses: readonly number[]): number | null {
  let best: number | null = null;
  for (const [index, loss] of losses.entries()) if (Number.isFinite(loss) && (best === null || loss < losses[best]!)) best = index;
  return best;
}
