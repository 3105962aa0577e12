// Edits that add entries to the ignore of a modifier, however it is written: what the fixes of several checks share.
import type { RecipeEdit } from '../../../schemas/src/problem.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { textsOf } from '../recipe/coerce.js';

export function ignoreEdits({ path, body }: RecipeModifier, entries: readonly string[]): RecipeEdit[] {
  const written = entries.map(quoted);
  if (Array.isArray(body['ignore'])) return written.map((text) => ({ kind: 'append-item', path: [...path, 'ignore'], text }));
  const text = `[${[...textsOf(body['ignore']).map(quoted), ...written].join(', ')}]`;
  return [
    body['ignore'] === undefined
      ? { kind: 'insert-key', path, key: 'ignore', text }
      : { kind: 'replace-value', path: [...path, 'ignore'], text },
  ];
}

/** YAML reads `re: x` as a mapping, and what starts with a star as an alias. */
const quoted = (entry: string): string => (/^[\w.-]+$/.test(entry) ? entry : `'${entry}'`);
