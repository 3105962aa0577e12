// Beacon: codes by the angle between what they give and what the weights gave; the scale follows from the codes.
// Zhang and Saab, arXiv 2508.20293. The method itself is native (quantize_beacon, legend there); here stand what it aims at and where it begins.
//
//   error_correction   aims between W and W*, the weight that gives on the inputs behind quantized layers the closest to the float layer's output
//   centering          per channel: from the zero point that centers the weights and from the observer's
//   second_start       per channel: again from GPTQ's codes in the order of diag(H), at the scale that was found and at the observer's; the layer keeps what explains most of its output
import type { BeaconPlan } from '../../../schemas/src/generated/plan.js';
import { hessianError } from '../tensor/operations/metrics.js';
import { correctedWeight, dequantize, quantizeBeacon, quantizeGptq } from '../tensor/operations/quantizers.js';
import { reshape } from '../tensor/operations/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import type { FactorFindings, Quantizer, QuantizerInput, SharedHessian, WeightScales } from './quantizer.js';
import { deadColumnProblems, factorOf, factorProblems, inputsOf } from './solver-problems.js';
import { layerArgs, observeWeight } from './weight-observer.js';

export const beacon: Quantizer<BeaconPlan> = {
  quantize: async (input) => {
    const { layer, plan } = input;
    const inputs = await inputsOf(input);
    if ('q' in inputs) return inputs;
    const { hessian, dead_columns } = inputs;
    const perChannel = layerArgs(layer).strategy === 'channel';
    const startsAgain = perChannel && plan.second_start;
    const original = perChannel && hessian.cross === null ? null : await factorOf(layer, hessian, plan.dampening_frac);
    const ordered = startsAgain ? await factorOf(layer, hessian, plan.dampening_frac, 'descending') : null;
    using corrected =
      hessian.cross &&
      original &&
      correctedWeight(input.weight, hessian.hessian, hessian.cross, original.inverse(), plan.correction_strength);
    const target = corrected ?? input.weight;
    const observed = await observeWeight(input, null);
    using observedScale = observed.scale;
    using observedZeroPoint = observed.zeroPoint;
    let best = solve(input, hessian, target, observed, perChannel ? null : (original?.factor ?? null), null);
    // What is explained compares solutions of one target; behind a group the target of the next is another.
    if (perChannel && plan.centering && !layerArgs(layer).symmetric)
      best = await betterOf(best, solve(input, hessian, target, observed, null, null, false));
    if (ordered !== null) {
      best = await better(input, hessian, target, best, best, ordered.factor);
      best = await better(input, hessian, target, best, { scale: observedScale, zeroPoint: observedZeroPoint }, ordered.factor);
    }
    best.objective.dispose();
    const stored =
      ordered === null
        ? best
        : await leastError(input, hessian, target, best, { scale: observedScale, zeroPoint: observedZeroPoint }, ordered.factor);
    const used = ordered ?? original;
    const findings: FactorFindings = used?.findings ?? { dampening_frac: 0, dead_columns, retries: 0 };
    return {
      ...stored,
      levels: null,
      gIdx: null,
      findings,
      problems: [
        ...(used === null ? [] : factorProblems(layer, plan.dampening_frac, findings)),
        ...deadColumnProblems(layer, dead_columns),
      ],
    };
  },
};

type Scales = Pick<WeightScales, 'scale' | 'zeroPoint'>;
interface Stored extends Scales {
  q: Tensor;
}
interface Solution extends Stored {
  /** F64 [rows, n_sweeps + 1]. */
  objective: Tensor;
}

function solve(
  { layer, plan }: QuantizerInput<BeaconPlan>,
  { hessian, dead }: SharedHessian,
  target: Tensor,
  from: Scales,
  factor: Tensor | null,
  codes: Tensor | null,
  centering = plan.centering,
): Solution {
  const options = { ...layerArgs(layer), n_sweeps: plan.n_sweeps, centering };
  const [q, scale, zeroPoint, objective] = quantizeBeacon(target, hessian, factor, from.scale, from.zeroPoint, dead, codes, options);
  return { q, scale, zeroPoint, objective };
}

/** `known`, or what the sweeps make of GPTQ's codes at the scale of `from`; the other is disposed. */
async function better(
  input: QuantizerInput<BeaconPlan>,
  hessian: SharedHessian,
  target: Tensor,
  known: Solution,
  from: Scales,
  factor: Tensor,
): Promise<Solution> {
  using gptqCodes = walk(input, hessian, target, from, factor);
  return betterOf(known, solve(input, hessian, target, from, null, gptqCodes));
}

/** GPTQ's codes. */
function walk({ layer }: QuantizerInput, hessian: SharedHessian, target: Tensor, { scale, zeroPoint }: Scales, factor: Tensor): Tensor {
  const args = { ...layerArgs(layer), block_size: 128 };
  const [codes, loss] = quantizeGptq(target, factor, scale, zeroPoint, hessian.order(), null, hessian.dead, args);
  loss.dispose();
  return codes;
}

/**
 * `best`, or GPTQ's codes at its scale as it is stored, or at the observer's, compared as they are stored. At 8 bits the rounding of a scale to the
 * weight's type is as large as all else that is left, and only codes that were chosen for the rounded scale make up for it.
 */
async function leastError(
  input: QuantizerInput<BeaconPlan>,
  shared: SharedHessian,
  target: Tensor,
  { q, scale, zeroPoint }: Stored,
  observed: Scales,
  factor: Tensor,
): Promise<Stored> {
  const errorOf = async (codes: Tensor, scales: Scales): Promise<number> => {
    using restored = dequantize(codes, scales.scale, scales.zeroPoint, null, layerArgs(input.layer));
    using sums = hessianError(target, restored, shared.hessian);
    const [error = NaN] = await sums.readDoubles();
    return error;
  };
  const found = { scale, zeroPoint };
  using atFound = walk(input, shared, target, found, factor);
  using atObserved = walk(input, shared, target, observed, factor);
  const own = await errorOf(q, found);
  const [errorAtFound, errorAtObserved] = [await errorOf(atFound, found), await errorOf(atObserved, observed)];
  if (!(Math.min(errorAtFound, errorAtObserved) < own)) return { q, ...found };
  q.dispose();
  if (errorAtFound <= errorAtObserved) return { q: reshape(atFound, atFound.shape), ...found };
  scale.dispose();
  zeroPoint.dispose();
  const again = await observeWeight(input, null);
  return { q: reshape(atObserved, atObserved.shape), scale: again.scale, zeroPoint: again.zeroPoint };
}

/** That which explains more of the layer's output; the other is disposed. */
async function betterOf(known: Solution, other: Solution): Promise<Solution> {
  const isBetter = (await explained(other)) > (await explained(known));
  for (const tensor of Object.values(isBetter ? known : other) as Tensor[]) tensor.dispose();
  return isBetter ? other : known;
}

/** Sum over the rows behind the last sweep. */
async function explained({ objective }: Solution): Promise<number> {
  const values = await objective.readDoubles();
  const width = objective.shape[1] ?? 1;
  let sum = 0;
  for (let last = width - 1; last < values.length; last += width) sum += values[last] ?? NaN;
  return sum;
}
