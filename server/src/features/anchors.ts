// Anchors and their aliases: definition, references, rename. Rename also serves the names of config_groups, which nothing else refers to.
import type { TextRange } from '../../../schemas/src/problem.js';
import type { RecipeAnchor } from '../recipe/recipe-nodes.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import type { Span } from '../recipe/span.js';
import type { TextReplacement } from './recipe-edits.js';

const holds = ({ begin, end }: Span, offset: number): boolean => begin - 1 <= offset && offset <= end;

function anchorAt(document: RecipeDocument, offset: number): RecipeAnchor | undefined {
  return document.anchors().find(({ definition, aliases }) => [definition, ...aliases].some((span) => holds(span, offset)));
}

export function definitionOfAlias(document: RecipeDocument, offset: number): TextRange | null {
  const anchor = anchorAt(document, offset);
  return anchor === undefined ? null : document.rangeOfSpan(anchor.definition);
}

export function referencesOfAnchor(document: RecipeDocument, offset: number, withDefinition: boolean): TextRange[] {
  const anchor = anchorAt(document, offset);
  if (anchor === undefined) return [];
  return [...(withDefinition ? [anchor.definition] : []), ...anchor.aliases].map((span) => document.rangeOfSpan(span));
}

/** What a rename at the offset would change; null where nothing has a name of its own. */
export function renamable(document: RecipeDocument, offset: number): { range: TextRange; name: string } | null {
  const span = spansToRename(document, offset).find((candidate) => holds(candidate, offset));
  return span === undefined ? null : { range: document.rangeOfSpan(span), name: document.text.slice(span.begin, span.end) };
}

export type RenameAnswer = { edits: TextReplacement[] } | { refusal: string };

export function rename(document: RecipeDocument, offset: number, newName: string): RenameAnswer {
  const spans = spansToRename(document, offset);
  if (spans.length === 0) return { refusal: 'Only anchors, aliases and the names of config_groups can be renamed.' };
  if (!/^[\w-]+$/.test(newName)) return { refusal: `${newName} is no name: use letters, digits, _ and -.` };
  if (taken(document, offset).includes(newName)) return { refusal: `${newName} is the name of another one already.` };
  return { edits: spans.map((span) => ({ range: document.rangeOfSpan(span), newText: newName })) };
}

function spansToRename(document: RecipeDocument, offset: number): Span[] {
  const anchor = anchorAt(document, offset);
  if (anchor !== undefined) return [anchor.definition, ...anchor.aliases];
  const place = document.placeAt(offset);
  if (place === null || place.at !== 'key' || place.path.at(-2) !== 'config_groups') return [];
  // A name that stands twice is renamed twice: else the one that was hidden would come back.
  const path = JSON.stringify(place.path);
  return document.scalars().flatMap((scalar) => (scalar.at === 'key' && JSON.stringify(scalar.path) === path ? [scalar.span] : []));
}

function taken(document: RecipeDocument, offset: number): string[] {
  const anchor = anchorAt(document, offset);
  if (anchor !== undefined) return document.anchors().flatMap((other) => (other.name === anchor.name ? [] : [other.name]));
  const groups = document.valueAt(document.placeAt(offset)?.path.slice(0, -1) ?? []);
  return Object.keys(groups ?? {});
}
