// GPTQ's walk over the columns of several linears that share a Hessian, in one call on stacked rows: q, k and v, or gate and up.
// A row is walked alone, so the codes are those of each linear by itself (to the byte in test/native/stacked-rows-test.cc; on a graphics card the library may
// choose another order of sums for a matrix product of more rows). What is won is a device with more rows to work on at once: the 1024 rows of a k_proj leave
// most of a graphics card idle. On two threads of a processor it was a tenth (2048, 512 and 512 rows of 2048 columns), not worth a copy of the weights.
import type { GptqPlan } from '../../../schemas/src/generated/plan.js';
import type { WeightArgs } from '../tensor/grid-args.js';
import { quantizeGptq } from '../tensor/operations/quantizers.js';
import { narrow, stackRows } from '../tensor/operations/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import type { QuantizerInput, WeightScales } from './quantizer.js';

/** What stackRows takes at once. */
const mostStacked = 8;

export interface Grouped {
  weight: Tensor;
  scales: WeightScales;
  gIdx: Tensor | null;
}

export interface SharedWalk {
  factor: Tensor;
  permutation: Tensor | null;
  dead: Tensor;
}

/** Linears with one Hessian that may be walked in one go; on a processor each alone. */
export function stackableSets<Input extends QuantizerInput<GptqPlan>>(inputs: readonly Input[]): Input[][] {
  const sets: Input[][] = [];
  const open = new Map<string, Input[]>();
  for (const input of inputs) {
    const key = stackKey(input);
    const set = key === null ? undefined : open.get(key);
    if (set !== undefined && set.length < mostStacked) {
      set.push(input);
      continue;
    }
    const next = [input];
    sets.push(next);
    if (key !== null) open.set(key, next);
  }
  return sets;
}

/** Alike where one call can serve both; null where rows have no scales of their own. NVFP4's global scale is in the scale of each row already. */
function stackKey({ layer, plan, weight }: QuantizerInput<GptqPlan>): string | null {
  const args = layer.scheme?.weights;
  if (!args || weight.device.native.kind === 'cpu' || !['channel', 'group', 'tensor_group'].includes(args.strategy)) return null;
  return JSON.stringify([weight.dtype, args, plan.block_size, plan.dampening_frac]);
}

/** Codes of each linear, the caller's. Column → group is that of all, since their order of columns is. */
export function walkColumns(
  linears: readonly Grouped[],
  { factor, permutation, dead }: SharedWalk,
  options: WeightArgs & { block_size: number },
): Tensor[] {
  const [first, ...others] = linears;
  if (first === undefined) return [];
  const walk = (weight: Tensor, scale: Tensor, zeroPoint: Tensor): Tensor => {
    const [q, loss] = quantizeGptq(weight, factor, scale, zeroPoint, permutation, first.gIdx, dead, options);
    loss.dispose();
    return q;
  };
  if (others.length === 0) return [walk(first.weight, first.scales.scale, first.scales.zeroPoint)];
  using weight = stackRows(linears.map((linear) => linear.weight));
  using scale = stackRows(linears.map(({ scales }) => scales.scale));
  using zeroPoint = stackRows(linears.map(({ scales }) => scales.zeroPoint));
  using codes = walk(weight, scale, zeroPoint);
  let row = 0;
  return linears.map((linear) => {
    const rows = linear.weight.shape[0] ?? 0;
    row += rows;
    return narrow(codes, row - rows, rows);
  });
}
