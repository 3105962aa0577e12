// A modifier that does nothing when a model is quantized: it belongs to training, or its list of work is empty.
import type { ProblemFix, RecipeEdit } from '../../../schemas/src/problem.js';
import { rotationModifiers } from '../plan/resolve-rotations.js';
import type { ResolvedPruning } from '../plan/pruning/resolve-pruning.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { Resolution } from '../plan/resolution.js';
import { booleanOf } from '../recipe/coerce.js';
import type { Check } from './check.js';
import { removeModifier } from './remove-modifier.js';

export const modifierWithoutEffect: Check = {
  code: 'modifier-without-effect',
  run: ({ modifiers, document, pruning, layers }) =>
    modifiers.flatMap((modifier) => {
      const resolved = pruning.find((one) => one.modifier === modifier);
      const reason = reasonOf(modifier) ?? (resolved === undefined ? null : idleMask(resolved, pruning, layers));
      if (reason === null) return [];
      const { path, name } = modifier;
      const removal = removeModifier(document, path);
      const field = fieldAtFault(modifier);
      const fixes: ProblemFix[] = [...(field === null ? [] : [removeField(modifier, field)]), ...(removal === null ? [] : [removal])];
      return [{ code: 'modifier-without-effect', severity: 'warning', path, at: 'key', message: `${name} ${reason}`, fixes }];
    }),
};

/** A constant mask keeps zeros from what comes behind it; where nothing does, they stay by themselves. */
function idleMask({ plan }: ResolvedPruning, pruning: Resolution['pruning'], layers: Resolution['layers']): string | null {
  const masked = new Set(plan.layers.map(({ name }) => name));
  if (plan.name !== 'constant' || masked.size === 0) return null;
  const behind = pruning.slice(pruning.findIndex((one) => one.plan === plan) + 1);
  const isChanged =
    layers.some(({ name, scheme }) => masked.has(name) && scheme?.weights) ||
    behind.some((other) => other.plan.layers.some(({ name }) => masked.has(name)));
  return isChanged
    ? null
    : 'keeps zeros, and nothing behind it changes the layers that it names: they stay by themselves. Add a quantizer for them, or remove it.';
}

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
