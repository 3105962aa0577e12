// GPTQ: round column by column and spread each rounding error over the columns still free, as the Hessian asks for.
// Frantar et al., arXiv 2210.17323. The walk itself is native (quantize_gptq); here stand the orders of columns and what is reported.
//
//   actorder null     columns in their own order
//   actorder weight   columns by descending diag(H); every column keeps the scale of its original group; nothing is stored for it
//   actorder group    the same order, groups formed along it; weight_g_idx (column → group) is stored
//
// Linears with one Hessian have one factor, and their rows do not know of each other: where it pays they are walked in one go (stacked-rows.ts).
import type { GptqPlan, LayerPlan } from '../../../schemas/src/generated/plan.js';
import { levelsFacts } from '../../../schemas/src/levels.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { RunFailureError, runFailure } from '../../../schemas/src/run-failure.js';
import type { Tensor } from '../tensor/tensor.js';
import { layerProblem } from './layer-problem.js';
import {
  disposeQuantized,
  disposeScales,
  type FactorFindings,
  type QuantizedWeight,
  type Quantizer,
  type QuantizerInput,
} from './quantizer.js';
import { rtn } from './rtn.js';
import { stackableSets, walkColumns, type Grouped } from './stacked-rows.js';
import { layerArgs, observeWeight } from './weight-observer.js';

export const gptq: Quantizer<GptqPlan> = {
  quantize: async (input) => {
    const [alone] = await quantizeSet(input, [input]);
    return alone!;
  },
  together: { sets: stackableSets, quantize: (set) => quantizeSet(set[0]!, set) },
};

/** The linears of a set have the Hessian, the scheme and the settings of the first. */
async function quantizeSet(first: QuantizerInput<GptqPlan>, set: readonly QuantizerInput<GptqPlan>[]): Promise<QuantizedWeight[]> {
  const { layer, plan, hessian } = first;
  if (hessian === null) return roundToNearest(set, 'gptq-without-inputs', 'no calibration row reached it');
  const dead = await hessian.dead.read();
  if (dead.every((flag) => flag === 1)) return roundToNearest(set, 'gptq-without-inputs', 'all of its calibration inputs are zero');
  const args = layer.scheme?.weights;
  const byGroup = args?.actorder === 'group' && args.strategy === 'group';
  const ordered = byGroup || args?.actorder === 'weight';
  const permutation = ordered ? hessian.order() : null;
  const wanted = plan.dampening_frac;
  const { factor, findings } = await factorOf(first, ordered, wanted);
  const grouped: Grouped[] = [];
  try {
    for (const input of set) {
      const gIdx = byGroup && permutation !== null ? await groupOfColumns(permutation, args.group_size ?? 1) : null;
      try {
        grouped.push({ weight: input.weight, gIdx, scales: await observeWeight(input, byGroup ? permutation : null) });
      } catch (error) {
        gIdx?.dispose();
        throw error;
      }
    }
    const options = { ...layerArgs(layer), block_size: plan.block_size };
    const codes = walkColumns(grouped, { factor, permutation, dead: hessian.dead }, options);
    return set.map(({ layer: one }, i) => {
      const { scales, gIdx } = grouped[i]!;
      return { ...scales, q: codes[i]!, gIdx, findings, problems: problemsOf(one, wanted, findings) };
    });
  } catch (error) {
    for (const { gIdx, scales } of grouped) {
      gIdx?.dispose();
      disposeScales(scales);
    }
    throw error;
  }
}

export async function factorOf({ layer, hessian }: QuantizerInput, ordered: boolean, dampening_frac: number) {
  try {
    return await hessian!.factor(ordered ? 'descending' : 'original', dampening_frac);
  } catch (error) {
    if (error instanceof Error && !(error instanceof RunFailureError) && error.message.includes('not positive definite'))
      throw runFailure.hessianNotPositiveDefinite(layer.name, error.message);
    throw error;
  }
}

/** Group of each original column when groups are formed along the permutation: I32 [columns]. */
export async function groupOfColumns(permutation: Tensor, group_size: number): Promise<Tensor> {
  const bytes = await permutation.read();
  const columns = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const groups = new Int32Array(columns.length);
  columns.forEach((column, place) => (groups[column] = Math.floor(place / group_size)));
  return permutation.device.fromInts([groups.length], groups);
}

export async function roundToNearest(set: readonly QuantizerInput[], code: string, reason: string): Promise<QuantizedWeight[]> {
  const rounded: QuantizedWeight[] = [];
  try {
    for (const input of set) {
      const { layer } = input;
      const message = `${layer.name} is rounded to nearest instead of by GPTQ: ${reason}. Use more varied calibration rows, or add the layer to ignore.`;
      rounded.push({ ...(await rtn.quantize(input)), problems: [layerProblem(layer, code, 'warning', message)] });
    }
    return rounded;
  } catch (error) {
    rounded.forEach(disposeQuantized);
    throw error;
  }
}

export function problemsOf(layer: LayerPlan, wanted: number, findings: FactorFindings): RunProblem[] {
  const problems: RunProblem[] = [];
  const { dampening_frac, dead_columns, retries } = findings;
  const levels = layer.scheme?.weights?.levels;
  const hasZero = levels === undefined || levelsFacts[levels].values(2).includes(0);
  if (dampening_frac > wanted)
    problems.push(
      layerProblem(
        layer,
        'gptq-damping-raised',
        'warning',
        `The Hessian of ${layer.name} could not be factored with dampening_frac ${wanted}; ${dampening_frac} was used. Its inputs are nearly dependent: use more calibration rows, or set dampening_frac yourself.`,
      ),
    );
  else if (retries > 0)
    problems.push(
      layerProblem(
        layer,
        'gptq-factored-in-double',
        'information',
        `The Hessian of ${layer.name} was factored in double precision with the same dampening_frac ${wanted}, because single precision did not suffice.`,
      ),
    );
  if (dead_columns > 0)
    problems.push(
      layerProblem(
        layer,
        'gptq-dead-columns',
        'information',
        `${dead_columns} of ${layer.columns} input columns of ${layer.name} were zero in every calibration row; their weights are stored as ${hasZero ? 'zero' : 'the level next to zero'}. More varied rows would keep them.`,
      ),
    );
  return problems;
}
