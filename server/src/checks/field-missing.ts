// Fields that belong together: the schema finds what every modifier of a kind needs, this what one value asks of others.
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { maskStructure } from '../plan/pruning/resolve-pruning.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { ResolvedTasks } from '../plan/resolve-tasks.js';
import { integerOf, mappingOf } from '../recipe/coerce.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import type { Check } from './check.js';

const owlFields = ['sparsity_profile', 'owl_m', 'owl_lmbda'];

export const fieldMissing: Check = {
  code: 'field-missing',
  run: ({ modifiers, document, tasks }) => [
    ...tasksWithoutExamples(document, tasks),
    ...modifiers.flatMap(withoutSparsity),
    ...modifiers
      .filter(({ name }) => name === 'SparseGPTModifier' || name === 'WandaPruningModifier')
      .flatMap(({ name, path, body }) => {
        const missing = owlFields.filter((field) => (body[field] ?? null) === null);
        if (missing.length === 0 || missing.length === owlFields.length) return [];
        return [
          {
            code: 'field-missing',
            severity: 'error' as const,
            path,
            at: 'key' as const,
            message: `${name} needs ${missing.join(' and ')} beside ${owlFields.filter((field) => !missing.includes(field)).join(' and ')}: sparsity_profile: owl, owl_m and owl_lmbda go together, or none of them. Add what is missing.`,
          },
        ];
      }),
  ],
};

/** Null is taken for a sparsity, and then multiplied by. */
function withoutSparsity({ name, path, body }: RecipeModifier): Problem[] {
  if (name !== 'SparseGPTModifier' && name !== 'WandaPruningModifier') return [];
  if (body['sparsity'] !== null || maskStructure(body['mask_structure']) !== null) return [];
  return [
    {
      code: 'field-missing',
      severity: 'error',
      path: [...path, 'sparsity'],
      at: 'value',
      message: `sparsity is null and no mask_structure says how much ${name} is to prune; llm-compressor fails at the first layer. Write a number such as 0.5, or mask_structure: '2:4'.`,
    },
  ];
}

/** Solved examples come from a file of their own. */
function tasksWithoutExamples(document: RecipeDocument, { files }: ResolvedTasks): Problem[] {
  return (['multiple_choice', 'generation'] as const).flatMap((kind) => {
    const path: RecipePath = ['evaluate', kind, 'num_fewshot'];
    const count = integerOf(mappingOf(mappingOf(document.value['evaluate'])[kind])['num_fewshot'], 0);
    if (count === 0 || files.some((file) => file.kind === kind && file.path.at(-1) === 'fewshot_dataset')) return [];
    return [
      {
        code: 'field-missing',
        severity: 'error' as const,
        path,
        at: 'value' as const,
        message: `num_fewshot: ${count} puts ${count} solved examples before every question, and there is no fewshot_dataset to take them from. Add fewshot_dataset with a file of solved questions, such as the dev rows of MMLU, or set num_fewshot: 0.`,
        fixes: [{ title: 'Set num_fewshot: 0', preferred: false, edits: [{ kind: 'replace-value' as const, path, text: '0' }] }],
      },
    ];
  });
}
