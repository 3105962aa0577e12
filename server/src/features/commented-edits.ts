// Entries and comments that are added to a recipe where its style allows: a reason stands behind its entry in a block list, above the key of a list in one line, and nowhere in JSON.
import type { RecipeEdit, RecipePath } from '../../../schemas/src/problem.js';
import { textsOf } from '../recipe/coerce.js';
import { isJson } from '../recipe/parse-recipe.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { lineStartOf } from '../recipe/span.js';
import { yamlScalar } from '../recipe/yaml-scalar.js';

export interface CommentedEntry {
  entry: string;
  /** Without the hash; empty: none. */
  note: string;
}

/** Whether the value at the path is written in one line with brackets or braces. */
export const isInFlow = (document: RecipeDocument, path: RecipePath): boolean =>
  path.length > 0 && /[[{]/.test(document.text[document.spanOf(path, 'value').begin] ?? '');

/** Entries in the list at the path, or beside the lone text that stands for a list of one. */
export function addedItems(document: RecipeDocument, path: RecipePath, entries: readonly CommentedEntry[]): RecipeEdit[] {
  const list = document.valueAt(path);
  const { text } = document;
  const first = Array.isArray(list) && list.length > 0 && !isInFlow(document, path) ? document.spanOf([...path, 0], 'value').begin : null;
  const lead = first === null ? '' : (/^[ \t]*(?=-[ \t]+$)/.exec(text.slice(lineStartOf(text, first), first))?.[0] ?? null);
  if (first !== null && lead !== null) {
    // Before the others: behind the last one may stand a comment that is its own.
    const lines = entries.map(({ entry, note }) => `${lead}- ${yamlScalar(entry)}${note === '' ? '' : `  # ${note}`}\n`);
    return [insertion(document, lineStartOf(text, first), lines.join(''))];
  }
  const comments = entries.flatMap(({ entry, note }) => (note === '' ? [] : [`${entry}: ${note}`]));
  const above = commentAbove(document, path, comments);
  const items = entries.map(({ entry }) => (isJson(text) ? JSON.stringify(entry) : yamlScalar(entry))).join(', ');
  if (!Array.isArray(list) || list.length === 0)
    return [{ kind: 'replace-value', path, text: `[${[...textsOf(list).map(yamlScalar), items].join(', ')}]` }, ...above];
  return [insertion(document, document.spanOf([...path, list.length - 1], 'value').end, `, ${items}`), ...above];
}

export const insertion = (document: RecipeDocument, offset: number, text: string): RecipeEdit => {
  const place = document.positionAt(offset);
  return { kind: 'replace-range', range: { start: place, end: place }, text };
};

/** Comments on lines of their own above the nearest key around the path that begins a line of a block. */
export function commentAbove(document: RecipeDocument, path: RecipePath, comments: readonly string[]): RecipeEdit[] {
  if (comments.length === 0 || isJson(document.text)) return [];
  const { text } = document;
  for (let length = path.length; length > 0; length -= 1) {
    const at = path.slice(0, length);
    if (typeof at.at(-1) === 'number' || at.slice(0, -1).some((_, index) => index > 0 && isInFlow(document, at.slice(0, index)))) continue;
    if (isInFlow(document, at.slice(0, -1))) continue;
    const { begin } = document.spanOf(at, 'key');
    const lineStart = lineStartOf(text, begin);
    const lead = text.slice(lineStart, begin);
    if (lead.trim() !== '') continue;
    const place = document.positionAt(lineStart);
    return [
      { kind: 'replace-range', range: { start: place, end: place }, text: comments.map((comment) => `${lead}# ${comment}\n`).join('') },
    ];
  }
  return [];
}
