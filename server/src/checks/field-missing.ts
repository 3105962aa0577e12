// Fields that belong together: the schema finds what every modifier of a kind needs, this what one value asks of others.
import type { Check } from './check.js';

const owlFields = ['sparsity_profile', 'owl_m', 'owl_lmbda'];

export const fieldMissing: Check = {
  code: 'field-missing',
  run: ({ modifiers }) =>
    modifiers
      .filter(({ name }) => name === 'SparseGPTModifier' || name === 'WandaPruningModifier')
      .flatMap(({ name, path, body }) => {
        const missing = owlFields.filter((field) => (body[field] ?? null) === null);
        if (missing.length === 0 || missing.length === owlFields.length) return [];
        return [
          {
            code: 'field-missing',
            severity: 'error',
            path,
            at: 'key',
            message: `${name} needs ${missing.join(' and ')} beside ${owlFields.filter((field) => !missing.includes(field)).join(' and ')}: sparsity_profile: owl, owl_m and owl_lmbda go together, or none of them. Add what is missing.`,
          },
        ];
      }),
};
