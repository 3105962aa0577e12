// A modifier name that neither llm-compressor nor Bitwright knows: it fails at parse.
import type { ProblemFix, RecipeEdit, RecipePath, TextRange } from '../../../schemas/src/problem.js';
import { knownModifiers, type RecipeModifier } from '../plan/read-modifiers.js';
import { nearestName } from '../recipe/did-you-mean.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { fieldsBeside, knownKeys } from '../recipe/recipe-schema.js';
import type { Check } from './check.js';

/** The modifier above it in the same group that has a field of this name; null: none. */
function ownerOf(path: RecipePath, modifiers: readonly RecipeModifier[]): RecipeModifier | null {
  const [stage, group, name] = path;
  const index = modifiers.findIndex((modifier) => modifier.path === path);
  const owner = modifiers
    .slice(0, index)
    .findLast((modifier) => modifier.path[0] === stage && modifier.path[1] === group && knownModifiers.includes(modifier.name));
  return owner !== undefined && knownKeys(owner.path).includes(String(name)) ? owner : null;
}

/** Where the modifier has no body, its fields below it become one, line by line. */
function indentFix(owner: RecipeModifier, document: RecipeDocument): ProblemFix[] {
  const group = owner.path.slice(0, -1);
  const paths = fieldsBeside(owner.path, document.valueAt(group)).map((field) => [...group, field]);
  const last = paths.at(-1);
  if (last === undefined || document.valueAt(owner.path) !== null) return [];
  const lines = document.text.split('\n');
  const start = document.rangeOf(owner.path, 'key').start;
  const isBlock = ({ line, character }: TextRange['start']): boolean => (lines[line] ?? '').slice(0, character).trim() === '';
  const begins = paths.map((path) => document.rangeOf(path, 'key').start);
  const [first] = begins;
  if (first === undefined || ![start, ...begins].every(isBlock)) return [];
  const edits: RecipeEdit[] = [];
  for (let line = first.line; line <= document.rangeOf(last, 'value').end.line; line += 1) {
    const place = { line, character: 0 };
    if (lines[line]?.trim()) edits.push({ kind: 'replace-range', range: { start: place, end: place }, text: '  ' });
  }
  return [{ title: `Move ${paths.map((path) => path.at(-1)).join(', ')} into ${owner.name}`, preferred: true, edits }];
}

export const unknownModifier: Check = {
  code: 'unknown-modifier',
  run: ({ modifiers, document }) =>
    modifiers
      .filter(({ name }) => !knownModifiers.includes(name))
      .map(({ name, path }) => {
        const owner = ownerOf(path, modifiers);
        const near = owner === null ? nearestName(name, knownModifiers) : null;
        const way =
          owner !== null
            ? `: it stands beside ${owner.name}, of which it is a field. Indent it deeper than ${owner.name}.`
            : near === null
              ? `; there are ${knownModifiers.join(', ')}.`
              : `; did you mean ${near}?`;
        return {
          code: 'unknown-modifier',
          severity: 'error',
          path,
          at: 'key',
          message: `${name} is no modifier of llm-compressor 0.13 or of Bitwright${way}`,
          ...(owner !== null
            ? { fixes: indentFix(owner, document) }
            : near === null
              ? {}
              : { fixes: [{ title: `Rename to ${near}`, preferred: true, edits: [{ kind: 'replace-key' as const, path, text: near }] }] }),
        };
      }),
};
