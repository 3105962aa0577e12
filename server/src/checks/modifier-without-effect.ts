// A modifier that does nothing when a model is quantized: it belongs to training, or its list of work is empty.
import type { ProblemFix, RecipeEdit } from '../../../schemas/src/problem.js';
import { rotationModifiers } from '../plan/resolve-rotations.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { booleanOf } from '../recipe/coerce.js';
import type { Check } from './check.js';
import { removeModifier } from './remove-modifier.js';

export const modifierWithoutEffect: Check = {
  code: 'modifier-without-effect',
  run: ({ modifiers, document }) =>
    modifiers.flatMap((modifier) => {
      const reason = reasonOf(modifier);
      if (reason === null) return [];
      const { path, name } = modifier;
      const removal = removeModifier(document, path);
      const field = fieldAtFault(modifier);
      const fixes: ProblemFix[] = [...(field === null ? [] : [removeField(modifier, field)]), ...(removal === null ? [] : [removal])];
      return [{ code: 'modifier-without-effect', severity: 'warning', path, at: 'key', message: `${name} ${reason}`, fixes }];
    }),
};

/** A modifier whose last field goes keeps a body: without one it is refused. */
function removeField({ path, body }: RecipeModifier, field: string): ProblemFix {
  const isLast = Object.keys(body).length === 1;
  const edit: RecipeEdit = isLast ? { kind: 'replace-value', path, text: '{}' } : { kind: 'remove', path: [...path, field] };
  return { title: `Remove ${field}`, preferred: true, edits: [edit] };
}

/** The field without which the modifier works; null where the modifier itself is the fault. */
function fieldAtFault({ name, body }: RecipeModifier): string | null {
  if (name === 'GPTQModifier') return 'requires_calibration_data';
  return ['mappings', 'rotations'].find((field) => Array.isArray(body[field])) ?? null;
}

function reasonOf({ name, body }: RecipeModifier): string | null {
  if (name === 'MagnitudePruningModifier' || name === 'ConstantPruningModifier')
    return 'follows the steps of a training; quantization has none, so it does nothing here, without a word. Use SparseGPTModifier or WandaPruningModifier, or remove it.';
  if (name === 'GPTQModifier' && !booleanOf(body['requires_calibration_data'], true))
    return 'says that it needs no data: llm-compressor then gives it none, solves nothing and leaves the weights as they are, without a word. Remove requires_calibration_data.';
  if (
    rotationModifiers.includes(name) &&
    Array.isArray(body['rotations']) &&
    body['rotations'].length === 0 &&
    // A permutation is left of DuQuant.
    (name !== 'DuQuantModifier' || !booleanOf(body['permutation'], true))
  )
    return 'has an empty list of rotations, so it turns nothing. Leave rotations out for R1 and R2, or give some.';
  const hasMappings = ['SmoothQuantModifier', 'LogarithmicEqualizationModifier', 'AWQModifier'].includes(name);
  if (hasMappings && Array.isArray(body['mappings']) && body['mappings'].length === 0)
    return 'has an empty list of mappings, so it scales nothing, without a word. Leave mappings out for those of the architecture, or give some.';
  return null;
}
