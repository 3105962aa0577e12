// One layer through its pruners, in the order of the recipe: its weight with zeros, and what its quantizer has to keep of them.
import type { LayerPlan, PrunerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { pruners } from '../algorithms.js';
import { missingInputs, sparsityArgs, type Pruner, type PrunedWeight } from '../pruning/pruner.js';
import { zerosToKeep } from '../pruning/sparsegpt.js';
import type { FactorFindings, SharedHessian, ZerosToKeep } from '../quantizers/quantizer.js';
import type { Tensor } from '../tensor/tensor.js';
import type { PruningOf } from './layer-jobs.js';

export class PrunedLayer implements Disposable {
  findings: FactorFindings | null = null;
  readonly problems: RunProblem[] = [];
  readonly zeros: ZerosToKeep = { mask: null, selection: null };
  private own: Tensor | null = null;

  constructor(
    private readonly original: Tensor,
    readonly works: readonly PruningOf[],
  ) {}

  get weight(): Tensor {
    return this.own ?? this.original;
  }

  take({ weight, mask, findings, problems }: PrunedWeight): void {
    this.own?.dispose();
    this.own = weight;
    this.keep(mask);
    this.findings = findings ?? this.findings;
    this.problems.push(...problems);
  }

  keep(mask: Tensor | null): void {
    this.zeros.mask?.dispose();
    this.zeros.mask = mask;
  }

  [Symbol.dispose](): void {
    this.own?.dispose();
    this.own = null;
    this.keep(null);
  }
}

export interface LayerToPrune {
  layer: LayerPlan;
  weight: Tensor;
  hessian: SharedHessian | null;
}

/** Null where nothing prunes the layer. */
export async function pruneLayer(works: readonly PruningOf[], { layer, weight, hessian }: LayerToPrune): Promise<PrunedLayer | null> {
  const own = works.filter((work) => work.layer === layer.name);
  if (own.length === 0) return null;
  const pruned = new PrunedLayer(weight, own);
  try {
    for (const { plan, sparsity } of own) {
      const isLast = plan === own.at(-1)?.plan;
      const input = { layer, plan, sparsity, weight: pruned.weight, hessian };
      const isJoint = isLast && plan.name === 'sparsegpt' && goesAlong(layer) && (await missingInputs(hessian)) === null;
      if (!isJoint) {
        pruned.take(await (pruners[plan.name] as Pruner)(input));
        continue;
      }
      pruned.keep(zerosToKeep(plan, pruned.weight));
      pruned.zeros.selection = {
        ...sparsityArgs(plan.mask_structure, sparsity),
        block_size: plan.block_size,
        dampening_frac: plan.dampening_frac,
      };
    }
    return pruned;
  } catch (error) {
    pruned[Symbol.dispose]();
    throw error;
  }
}

/**
 * SparseGPT goes through the columns in their own order, so that GPTQ can go along in one walk where it keeps that order. In another order the zeros are chosen
 * in a walk of their own before: measured on our example model, a mask that was chosen in one order and solved in another loses more than two walks.
 */
const goesAlong = ({ quantizer, scheme }: LayerPlan): boolean => quantizer?.name === 'gptq' && (scheme?.weights?.actorder ?? null) === null;

/** What a layer's plan asks of its last pruner, for the report; null of one that keeps what is there. */
export const askedSparsity = (works: readonly PruningOf[]): number | null => {
  const last = works.at(-1);
  return last === undefined || last.plan.name === 'constant' ? null : last.sparsity;
};

export const structureText = (plan: PrunerPlan): string => {
  const structure = 'mask_structure' in plan ? plan.mask_structure : null;
  return structure === null ? 'unstructured' : `${structure.n}:${structure.m}`;
};
