// Edits that name places by path → text edits, in block and in flow style, keeping the indentation of the recipe.
import type { RecipeEdit, RecipePath, TextRange } from '../../../schemas/src/problem.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { isJson, parseValue } from '../recipe/parse-recipe.js';
import { lineStartOf } from '../recipe/span.js';
import type { Span } from '../recipe/span.js';

export interface TextReplacement {
  range: TextRange;
  newText: string;
}

type PlacedEdit = Exclude<RecipeEdit, { kind: 'replace-range' }>;

/** The edits of one fix; null when one of them has no place: half a fix is none. */
export function textReplacements(document: RecipeDocument, edits: readonly RecipeEdit[]): TextReplacement[] | null {
  const all = edits.map((edit) => textReplacement(document, edit));
  return all.includes(null) ? null : joined(document, all as TextReplacement[]);
}

/** Two entries of a flow, one behind the other, share the comma between them: they are removed as one, with the comma before where they were the last. */
function joined(document: RecipeDocument, edits: readonly TextReplacement[]): TextReplacement[] {
  const removals = edits
    .filter(({ newText }) => newText === '')
    .map(({ range }) => ({ begin: document.offsetAt(range.start), end: document.offsetAt(range.end) }))
    .sort((a, b) => a.begin - b.begin);
  const spans: (Span & { isJoined: boolean })[] = [];
  for (const removed of removals) {
    const last = spans.at(-1);
    if (last !== undefined && removed.begin <= last.end) Object.assign(last, { end: Math.max(last.end, removed.end), isJoined: true });
    else spans.push({ ...removed, isJoined: false });
  }
  const whole = ({ begin, end, isJoined }: Span & { isJoined: boolean }): Span => {
    const comma = isJoined && /^\s*[}\]]/.test(document.text.slice(end)) ? /,\s*$/.exec(document.text.slice(0, begin)) : null;
    return { begin: comma?.index ?? begin, end };
  };
  return [
    ...spans.map((span) => ({ range: document.rangeOfSpan(whole(span)), newText: '' })),
    ...edits.filter(({ newText }) => newText !== ''),
  ];
}

/** The text after edits that do not overlap. */
export function appliedTo(document: RecipeDocument, edits: readonly TextReplacement[]): string {
  const spans = edits.map(({ range, newText }) => ({ begin: document.offsetAt(range.start), end: document.offsetAt(range.end), newText }));
  // From behind; what is inserted before a part that goes stays.
  return spans
    .sort((a, b) => b.begin - a.begin || b.end - a.end)
    .reduce((text, { begin, end, newText }) => text.slice(0, begin) + newText + text.slice(end), document.text);
}

/** null when the place is not in the text (a merge key or an alias brought it in, or it was edited away). */
export function textReplacement(document: RecipeDocument, edit: RecipeEdit): TextReplacement | null {
  if (edit.kind === 'replace-range') return { range: edit.range, newText: edit.text };
  if (!document.has(edit.path)) return null;
  const replacement = replace(document, isJson(document.text) ? jsonEdit(edit) : edit);
  return replacement === null || takesAnchor(document, replacement.span)
    ? null
    : { range: document.rangeOfSpan(replacement.span), newText: withLineEndsOf(document, replacement.text) };
}

const withLineEndsOf = ({ text }: RecipeDocument, lines: string): string =>
  text.includes('\r\n') ? lines.replace(/\r?\n/g, '\r\n') : lines;

/** What a recipe in JSON must be given to stay one. */
function jsonEdit(edit: PlacedEdit): PlacedEdit {
  const value = (text: string): string => JSON.stringify(parseValue(text));
  switch (edit.kind) {
    case 'replace-key':
      return { ...edit, text: JSON.stringify(edit.text) };
    case 'replace-value':
    case 'append-item':
      return { ...edit, text: value(edit.text) };
    case 'insert-key':
      return { ...edit, key: JSON.stringify(edit.key), text: value(edit.text) };
    case 'remove':
      return edit;
  }
}

/** An anchor that others need would go: no edit of one place is right then. */
function takesAnchor(document: RecipeDocument, { begin, end }: Span): boolean {
  if (!document.text.includes('&')) return false;
  const isInside = (span: Span): boolean => begin <= span.begin && span.end <= end;
  return document.anchors().some(({ definition, aliases }) => isInside(definition) && !aliases.every(isInside));
}

interface Replacement {
  span: Span;
  text: string;
}

function replace(document: RecipeDocument, edit: PlacedEdit): Replacement | null {
  switch (edit.kind) {
    case 'replace-value':
      return isEmpty(document, edit.path)
        ? { span: pointAt(afterColon(document, edit.path)), text: `${colonFor(document, edit.path)} ${edit.text}` }
        : { span: trimmed(document, document.spanOf(edit.path, 'value')), text: edit.text };
    case 'replace-key':
      return { span: document.spanOf(edit.path, 'key'), text: edit.text };
    case 'remove':
      return removal(document, edit.path);
    case 'insert-key':
      return keyInsertion(document, edit.path, edit.key, edit.text);
    case 'append-item':
      return itemAddition(document, edit.path, edit.text);
  }
}

/** A block value's span ends in the blank lines after it; those are not part of it. What else JavaScript takes for space is text to YAML. */
function trimmed(document: RecipeDocument, { begin, end }: Span): Span {
  return { begin, end: begin + document.text.slice(begin, end).replace(/[ \t\r\n]+$/, '').length };
}

const pointAt = (offset: number): Span => ({ begin: offset, end: offset });

/** A value without a text of its own: a tag alone may make it more than null. */
const isEmpty = (document: RecipeDocument, path: RecipePath): boolean =>
  typeof path.at(-1) === 'string' && document.spanOf(path, 'value').begin === document.spanOf(path, 'key').begin;

/** Behind the colon, and behind the anchor or tag that stands there without a value. */
function afterColon(document: RecipeDocument, path: RecipePath): number {
  const { end } = document.spanOf(path, 'key');
  return end + (/^\s*:(?:[ \t]+[&!][^\s,[\]{}]*)*/.exec(document.text.slice(end))?.[0].length ?? 0);
}

/** In {a, b: 1} the key a has none. */
const colonFor = (document: RecipeDocument, path: RecipePath): string =>
  afterColon(document, path) === document.spanOf(path, 'key').end ? ':' : '';

/** Key and value together; a list item alone. */
function entrySpan(document: RecipeDocument, path: RecipePath): Span {
  if (typeof path.at(-1) === 'number') return trimmed(document, document.spanOf(path, 'value'));
  const key = document.spanOf(path, 'key');
  // The mark of an explicit key goes with it.
  const begin = key.begin - (/\?[ \t]+$/.exec(document.text.slice(0, key.begin))?.[0].length ?? 0);
  if (isEmpty(document, path)) return { begin, end: afterColon(document, path) };
  return { begin, end: trimmed(document, document.spanOf(path, 'value')).end };
}

function removal(document: RecipeDocument, path: RecipePath): Replacement {
  const { text } = document;
  const { begin, end } = entrySpan(document, path);
  if (document.styleOf(path.slice(0, -1)) === 'flow') {
    const following = /^\s*,\s*/.exec(text.slice(end));
    if (following !== null) return { span: { begin, end: end + following[0].length }, text: '' };
    const leading = /,\s*$/.exec(text.slice(0, begin));
    return { span: { begin: begin - (leading?.[0].length ?? 0), end }, text: '' };
  }
  const lineStart = lineStartOf(text, begin);
  const lead = text.slice(lineStart, begin);
  const lineEnd = text.indexOf('\n', end);
  const stop = lineEnd < 0 ? text.length : lineEnd + 1;
  // The first key of a list item shares its line with the dash, which stays for the next key.
  const next = /^[ \t]*(?=\S)/.exec(text.slice(stop));
  if (typeof path.at(-1) === 'string' && lead.includes('-') && next !== null && next[0].length === lead.length)
    return { span: { begin, end: stop + next[0].length }, text: '' };
  return { span: { begin: lineStart, end: stop }, text: '' };
}

function keyInsertion(document: RecipeDocument, path: RecipePath, key: string, value: string): Replacement | null {
  const { text } = document;
  const mapping = document.valueAt(path);
  const keys = typeof mapping === 'object' && mapping !== null ? Object.keys(mapping).filter((name) => document.has([...path, name])) : [];
  const style = document.styleOf(path);
  if (style === 'alias') return null;
  if (style === 'flow') {
    // Right behind the last entry: a comma or a comment may follow it.
    if (keys.length > 0) return { span: pointAt(endOfEntries(document, path, keys)), text: `, ${key}: ${value}` };
    if (path.length === 0) return null;
    const opening = document.spanOf(path, 'value').begin + 1;
    const isAlone = /^\s*[}\]]/.test(text.slice(opening));
    return { span: pointAt(opening), text: `${key}: ${value}${isAlone ? '' : ', '}` };
  }
  const first = keys[0];
  if (first === undefined) {
    if (path.length === 0) return { span: pointAt(text.length), text: `${lineBreakBefore(text)}${key}: ${value}\n` };
    const indent = ' '.repeat(columnOf(document, document.spanOf(path, 'key').begin) + 2);
    return {
      span: pointAt(afterColon(document, path)),
      text: `${colonFor(document, path)}\n${indent}${indented(`${key}: ${value}`, indent)}`,
    };
  }
  const indent = ' '.repeat(columnOf(document, document.spanOf([...path, first], 'key').begin));
  const end = endOfEntries(document, path, keys);
  const lineEnd = text.indexOf('\n', end);
  return { span: pointAt(lineEnd < 0 ? text.length : lineEnd), text: `\n${indent}${indented(`${key}: ${value}`, indent)}` };
}

const endOfEntries = (document: RecipeDocument, path: RecipePath, keys: readonly string[]): number =>
  Math.max(...keys.map((name) => entrySpan(document, [...path, name]).end));

function itemAddition(document: RecipeDocument, path: RecipePath, item: string): Replacement | null {
  const { text } = document;
  const list = document.valueAt(path);
  if (list === null || list === undefined)
    return { span: pointAt(afterColon(document, path)), text: `${colonFor(document, path)} [${item}]` };
  const style = document.styleOf(path);
  if (style === 'alias') return null;
  const span = trimmed(document, document.spanOf(path, 'value'));
  // A lone string stands for a list of one.
  if (!Array.isArray(list)) return { span, text: `[${text.slice(span.begin, span.end)}, ${item}]` };
  if (style === 'flow') return { span: pointAt(span.end - 1), text: list.length > 0 ? `, ${item}` : item };
  const lead = text.slice(lineStartOf(text, span.begin), document.spanOf([...path, 0], 'value').begin);
  const indent = /^\s*/.exec(lead)?.[0] ?? '';
  return { span: pointAt(span.end), text: `\n${indent}- ${item}` };
}

const lineBreakBefore = (text: string): string => (text === '' || text.endsWith('\n') ? '' : '\n');

const columnOf = (document: RecipeDocument, offset: number): number => offset - lineStartOf(document.text, offset);

const indented = (lines: string, indent: string): string => lines.replaceAll('\n', `\n${indent}`);
