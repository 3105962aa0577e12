// A modifier name that neither llm-compressor nor Bitwright knows: it fails at parse.
import type { RecipePath } from '../../../schemas/src/problem.js';
import { knownModifiers, type RecipeModifier } from '../plan/read-modifiers.js';
import { nearestName } from '../recipe/did-you-mean.js';
import { knownKeys } from '../recipe/recipe-schema.js';
import type { Check } from './check.js';

/** The modifier above it in the same group that has a field of this name; null: none. */
function ownerOf(path: RecipePath, modifiers: readonly RecipeModifier[]): string | null {
  const [stage, group, name] = path;
  const index = modifiers.findIndex((modifier) => modifier.path === path);
  const owner = modifiers
    .slice(0, index)
    .findLast((modifier) => modifier.path[0] === stage && modifier.path[1] === group && knownModifiers.includes(modifier.name));
  return owner !== undefined && knownKeys(owner.path).includes(String(name)) ? owner.name : null;
}

export const unknownModifier: Check = {
  code: 'unknown-modifier',
  run: ({ modifiers }) =>
    modifiers
      .filter(({ name }) => !knownModifiers.includes(name))
      .map(({ name, path }) => {
        const owner = ownerOf(path, modifiers);
        const near = owner === null ? nearestName(name, knownModifiers) : null;
        const way =
          owner !== null
            ? `: it stands beside ${owner}, of which it is a field. Indent it deeper than ${owner}.`
            : near === null
              ? `; there are ${knownModifiers.join(', ')}.`
              : `; did you mean ${near}?`;
        return {
          code: 'unknown-modifier',
          severity: 'error',
          path,
          at: 'key',
          message: `${name} is no modifier of llm-compressor 0.13 or of Bitwright${way}`,
          ...(near === null
            ? {}
            : { fixes: [{ title: `Rename to ${near}`, preferred: true, edits: [{ kind: 'replace-key' as const, path, text: near }] }] }),
        };
      }),
};
