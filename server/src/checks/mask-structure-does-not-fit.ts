// A mask_structure that the layers cannot have: groups that do not divide their columns, more zeros than weights, or a structure of convolutions.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { Problem } from '../../../schemas/src/problem.js';
import type { ResolvedPruning } from '../plan/pruning/resolve-pruning.js';
import { textOf } from '../recipe/coerce.js';
import type { Check } from './check.js';
import { ignoreEdits } from './ignore-edits.js';

export const maskStructureDoesNotFit: Check = {
  code: 'mask-structure-does-not-fit',
  run: ({ pruning, layers }) => pruning.flatMap((resolved) => problemsOf(resolved, layers)),
};

function problemsOf({ modifier, plan }: ResolvedPruning, layers: readonly LayerPlan[]): Problem[] {
  const problem = (message: string, fixes: Problem['fixes'] = []): Problem[] => [
    { code: 'mask-structure-does-not-fit', severity: 'error', path: [...modifier.path, 'mask_structure'], at: 'value', message, fixes },
  ];
  const said = textOf(modifier.body['mask_structure'], 'unstructured');
  if (plan.name === 'magnitude')
    return said === 'unstructured'
      ? []
      : problem(
          `mask_structure ${said} is made for convolutions: llm-compressor sums over four dimensions and fails on the matrix of a linear layer. Use unstructured, or WandaPruningModifier with mask_structure: '2:4'.`,
        );
  if (plan.name === 'constant' || plan.mask_structure === null) return [];
  const { n, m } = plan.mask_structure;
  if (n >= m)
    return problem(
      `mask_structure ${said} sets ${n} of every ${m} inputs to zero, which leaves nothing of the layer. N is the number of zeros: write fewer than ${m}, such as '2:4'.`,
    );
  const pruned = new Set(plan.layers.map(({ name }) => name));
  const members = layers.filter(({ name }) => pruned.has(name));
  const bad = members.filter(({ columns }) => columns % m !== 0);
  const [first] = bad;
  if (first === undefined) return [];
  const others = bad.length === 1 ? '' : ` and ${bad.length - 1} more`;
  const roles = [...new Set(bad.map(({ role }) => role))];
  return problem(
    `mask_structure ${said} cuts the inputs of a layer into groups of ${m}, which do not divide the ${first.columns} columns of ${first.name} (${first.rows} × ${first.columns})${others}. Add ${bad.length === 1 ? 'it' : 'them'} to ignore, or choose groups that fit.`,
    bad.length === members.length
      ? []
      : [
          {
            title: `Ignore ${roles.join(', ')}`,
            preferred: false,
            edits: ignoreEdits(
              modifier,
              roles.map((role) => `re:.*${role}`),
            ),
          },
        ],
  );
}
