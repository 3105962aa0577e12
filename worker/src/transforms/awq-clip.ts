// AWQ's clipping: the largest weights of a cell are cut where the grid that then becomes finer keeps the cell's share of the output better.
// In the authors' code and AutoAWQ (apply_clip; awq/quantize/quantizer.py), not in the paper (Lin et al., arXiv 2306.00978) and not in llm-compressor.
//
//   W        weight after scaling                     cell   what shares a scale: a group, a row, a matrix
//   p        part of max |w| that is kept: 1, 1 − 1/n_grid, … above 1 − max_shrink
//   W_p      W cut to p max |w| of its cell           Q      round to nearest over the range of W_p, whatever quantizer follows
//   L(p)     (w − Q(w_p))_g H_gg (w − Q(w_p))_gᵀ of each cell, the least of which decides; of equals the largest p
//
// Differs from AutoAWQ: the sum is over all calibration tokens (there: 512 of them), and the grid is the scheme's own.
// Cost of a linear with cells of g columns: n_grid · max_shrink times the rounding (about 40 m n) and m n g.
import type { WeightArgs } from '../tensor/grid-args.js';
import { cellErrors, clipCells } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';

export interface Clipped {
  /** In the dtype of the weight; the caller's. */
  weight: Tensor;
  n_cells: number;
  /** Cells that are cut. */
  n_clipped: number;
  /** Σ L over the cells, of rounding to nearest without and with the cut. */
  loss_before: number;
  loss_after: number;
}

/** `round`: Q, whose result is freed here. */
export async function clipped(
  W: Tensor,
  hessian: Tensor,
  args: WeightArgs,
  { n_grid, max_shrink }: { n_grid: number; max_shrink: number },
  round: (weight: Tensor) => Tensor,
): Promise<Clipped> {
  const cells = { strategy: args.strategy, group_size: args.group_size };
  const errorsOf = async (weight: Tensor): Promise<Float64Array> => {
    using rounded = round(weight);
    using errors = cellErrors(W, rounded, hessian, cells);
    return errors.readDoubles();
  };
  const first = await errorsOf(W);
  const shape = cellShape(W, args);
  const least = first.slice();
  const factors = new Float32Array(first.length).fill(1);
  for (let step = 1; step < max_shrink * n_grid; step += 1) {
    const p = 1 - step / n_grid;
    using part = W.device.fromFloats(shape, new Float32Array(first.length).fill(p));
    using cut = clipCells(W, part, cells);
    (await errorsOf(cut)).forEach((error, cell) => {
      if (!(error < least[cell]!)) return;
      least[cell] = error;
      factors[cell] = p;
    });
  }
  using chosen = W.device.fromFloats(shape, factors);
  const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);
  return {
    weight: clipCells(W, chosen, cells),
    n_cells: factors.length,
    n_clipped: factors.reduce((count, factor) => count + (factor < 1 ? 1 : 0), 0),
    loss_before: sum(first),
    loss_after: sum(least),
  };
}

/** Of the scales. */
function cellShape({ shape }: Tensor, { strategy, group_size }: WeightArgs): number[] {
  const [rows = 0, columns = 0] = shape;
  if (strategy === 'tensor') return [1];
  return [rows, strategy === 'group' ? columns / group_size : 1];
}
