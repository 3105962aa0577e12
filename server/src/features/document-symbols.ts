// The outline of a recipe: top-level keys, stages, modifiers, groups.
import type { RecipePath, TextRange } from '../../../schemas/src/problem.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';

export interface RecipeSymbol {
  name: string;
  detail: string;
  kind: 'stage' | 'modifiers' | 'modifier' | 'field';
  range: TextRange;
  selectionRange: TextRange;
  children: RecipeSymbol[];
}

export function documentSymbols(document: RecipeDocument): RecipeSymbol[] {
  return symbolsOf(document, document.value, []);
}

/** Every symbol of the outline whose name holds the letters in their order, as editors search. */
export function symbolsNamed(document: RecipeDocument, query: string): RecipeSymbol[] {
  const flat = (symbol: RecipeSymbol): RecipeSymbol[] => [symbol, ...symbol.children.flatMap(flat)];
  return documentSymbols(document)
    .flatMap(flat)
    .filter(({ name }) => holdsInOrder(name.toLowerCase(), query.toLowerCase()));
}

function holdsInOrder(name: string, query: string): boolean {
  let at = 0;
  for (const letter of query) {
    const found = name.indexOf(letter, at);
    if (found < 0) return false;
    at = found + 1;
  }
  return true;
}

function symbolsOf(document: RecipeDocument, mapping: object, parent: RecipePath): RecipeSymbol[] {
  return Object.entries(mapping).flatMap(([name, value]: [string, unknown]) => {
    const path = [...parent, name];
    // A merge key brings in values that have no place of their own.
    if (!document.has(path)) return [];
    const key = document.spanOf(path, 'key');
    const body = document.spanOf(path, 'value');
    const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value);
    return {
      name: name === '' ? '(empty)' : name,
      detail: isMapping ? '' : shortValue(value),
      kind: kindOf(name),
      range: document.rangeOfSpan({ begin: key.begin, end: Math.max(key.end, body.end) }),
      selectionRange: document.rangeOfSpan(key),
      children: isMapping ? symbolsOf(document, value, path) : [],
    };
  });
}

function kindOf(name: string): RecipeSymbol['kind'] {
  if (name.endsWith('_stage')) return 'stage';
  if (name.endsWith('_modifiers')) return 'modifiers';
  return name.endsWith('Modifier') ? 'modifier' : 'field';
}

function shortValue(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
