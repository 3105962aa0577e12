// How sparse a layer became, measured on the weight that a reader of the file computes, and what is to be said of it.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { PruningMetrics, RunProblem } from '../../../schemas/src/generated/report.js';
import { zeroMask } from '../tensor/operations/pruning.js';
import type { Tensor } from '../tensor/tensor.js';
import type { PruningOf } from './layer-jobs.js';
import { askedSparsity, structureText } from './prune-layer.js';

/** `W`: before anything became zero; `What`: as it is read. */
export async function pruningMetrics(works: readonly PruningOf[], W: Tensor, What: Tensor): Promise<PruningMetrics> {
  const [before, after] = [await zerosOf(W), await zerosOf(What)];
  const last = works.at(-1);
  return {
    pruners: works.map(({ plan }) => plan.name),
    mask_structure: last === undefined ? 'unstructured' : structureText(last.plan),
    asked: askedSparsity(works),
    sparsity: after.share,
    sparsity_before: before.share,
    zero_rows: after.rows,
    zero_rows_before: before.rows,
  };
}

async function zerosOf(weight: Tensor): Promise<{ share: number; rows: number }> {
  const [mask, numbers] = zeroMask(weight, { epsilon: 0 });
  mask.dispose();
  using counts = numbers;
  const [zeros = 0, rows = 0] = await counts.readDoubles();
  return { share: zeros / weight.shape.reduce((product, extent) => product * extent, 1), rows };
}

export function sparsityProblems(layer: LayerPlan, works: readonly PruningOf[], metrics: PruningMetrics | null): RunProblem[] {
  const last = works.at(-1);
  if (metrics === null || last === undefined) return [];
  const { asked, sparsity, sparsity_before, zero_rows, zero_rows_before } = metrics;
  const problem = (code: string, severity: RunProblem['severity'], message: string): RunProblem => ({
    code,
    severity,
    message,
    layer: layer.name,
    recipe_path: last.plan.recipe_path,
  });
  const problems: RunProblem[] = [];
  // Zeros are chosen in whole numbers for each row, group or block of columns.
  const oneOfEachRow = 1 / layer.columns;
  if (asked !== null && sparsity < asked - oneOfEachRow)
    problems.push(
      problem(
        'sparsity-not-reached',
        'warning',
        `${percent(sparsity)} of ${layer.name} are zero, and ${percent(asked)} were asked for. A later step has filled zeros: let ${last.plan.modifier} be the last that changes this layer but for its quantizer.`,
      ),
    );
  const keeps = last.plan.name === 'sparsegpt' && last.plan.preserve_sparsity_mask;
  if (keeps && asked !== null && sparsity_before > asked + oneOfEachRow)
    problems.push(
      problem(
        'sparsity-above-asked',
        'information',
        `${percent(sparsity_before)} of ${layer.name} were zero already, more than the ${percent(asked)} that are asked for, and preserve_sparsity_mask keeps them.`,
      ),
    );
  if (zero_rows > zero_rows_before)
    problems.push(
      problem(
        'rows-all-zero',
        'warning',
        `${zero_rows - zero_rows_before} of ${layer.rows} rows of ${layer.name} have become zero throughout, so that these outputs no longer depend on any input. Ask for a lower sparsity, or use WandaPruningModifier, which prunes every row alike.`,
      ),
    );
  return problems;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
