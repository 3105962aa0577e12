// Layout of a recipe's text: two spaces a level, one space after a colon, flow lists as [a, b], no trailing blanks. Comments and the form of each scalar stay.
import { isDeepStrictEqual } from 'node:util';
import { isAlias, isCollection, isMap, isPair, isScalar, isSeq, parseDocument, visit } from 'yaml';
import type { Document, Node } from 'yaml';
import { parseRecipe } from './parse-recipe.js';
import type { Span } from './span.js';

/** null: the text cannot be read, or is no block YAML (JSON, front matter), or its meaning would not stay the same. */
export function formatRecipe(text: string): string | null {
  const { document, problems } = parseRecipe(text);
  const isBlock = !/^(\uFEFF|---|\s*[{[])/.test(text);
  const unread = ['yaml-syntax', 'recipe-not-a-mapping', 'recipe-too-long'];
  if (!isBlock || problems.some(({ code }) => unread.includes(code))) return null;
  const lineBreak = text.includes('\r\n') ? '\r\n' : '\n';
  const spaced = applied(text.replace(/\r\n?/g, '\n'), spacing);
  const formatted = tidied(indented(spaced)).replaceAll('\n', lineBreak);
  return isDeepStrictEqual(parseRecipe(formatted).document.value, document.value) ? formatted : null;
}

interface Replacement {
  span: Span;
  text: string;
}

const parse = (text: string): Document.Parsed =>
  parseDocument(text, { version: '1.1', schema: 'failsafe', uniqueKeys: false, strict: false, logLevel: 'silent' });

function applied(text: string, find: (yaml: Document.Parsed, text: string) => Replacement[]): string {
  return find(parse(text), text)
    .sort((a, b) => b.span.begin - a.span.begin)
    .reduce((whole, { span, text: part }) => whole.slice(0, span.begin) + part + whole.slice(span.end), text);
}

/** Blanks around colons, and inside of flow collections that stand on one line. */
function spacing(yaml: Document.Parsed, text: string): Replacement[] {
  const replacements: Replacement[] = [];
  visit(yaml, (_, node) => {
    // An empty key has its place before the blanks of its line, which are the line's indentation.
    if (isPair(node) && isScalar(node.key) && node.key.range && node.key.range[1] > node.key.range[0]) {
      const begin = node.key.range[1];
      const colon = /^[ \t]*:(?:[ \t]+(?=[^\s#])|[ \t]*(?=\n|$))/.exec(text.slice(begin));
      if (colon !== null) {
        const blank = /^(?:\n|$)/.test(text.slice(begin + colon[0].length)) ? '' : ' ';
        replacements.push({ span: { begin, end: begin + colon[0].length }, text: `:${blank}` });
      }
    }
    if (!isCollection(node) || node.flow !== true || !node.range) return undefined;
    const [begin, end] = node.range;
    // Anchors and tags keep their place; so do lists that are laid out over lines.
    if (!text.slice(begin, end).includes('\n') && !hasProperties(node as Node))
      replacements.push({ span: { begin, end }, text: flowText(node as Node, text) });
    return visit.SKIP;
  });
  return replacements;
}

function hasProperties(root: Node): boolean {
  let found = false;
  visit(root, {
    Node: (_, node) => {
      found ||= isAlias(node) || node.anchor !== undefined || (node.tag !== undefined && node.tag !== null);
    },
  });
  return found;
}

function flowText(node: Node, text: string): string {
  const source = (part: unknown): string => flowText(part as Node, text);
  if (isSeq(node)) return `[${node.items.map(source).join(', ')}]`;
  if (isMap(node)) {
    const pairs = node.items.map(({ key, value }) => {
      const isEmpty = value === null || ((value as Node).range?.[0] ?? 0) === ((value as Node).range?.[1] ?? 0);
      return isEmpty
        ? source(key) +
            (text
              .slice(...keyEnd(key as Node))
              .trimStart()
              .startsWith(':')
              ? ':'
              : '')
        : `${source(key)}: ${source(value)}`;
    });
    return `{${pairs.join(', ')}}`;
  }
  return node.range ? text.slice(node.range[0], node.range[1]) : '';
}

const keyEnd = (key: Node): [number, number] => [key.range?.[1] ?? 0, (key.range?.[1] ?? 0) + 20];

/** Two spaces a level; what is inside of a scalar or flow collection over several lines moves along with its first line. */
function indented(text: string): string {
  const inner = innerLines(text);
  /** Columns of the open mappings and lists, before and after; the outermost first. */
  const levels: { old: number; now: number }[] = [];
  let shift = 0;
  const lines = text.split('\n');
  const place = (old: number): number => {
    while (levels.length > 0 && (levels.at(-1)?.old ?? 0) > old) levels.pop();
    const top = levels.at(-1);
    if (top?.old === old) return top.now;
    const now = top === undefined ? 0 : top.now + 2;
    levels.push({ old, now });
    return now;
  };
  const laidOut = lines.map((line, index) => {
    const content = line.trimStart();
    const old = line.length - content.length;
    if (inner.has(index)) return content === '' ? '' : ' '.repeat(Math.max(0, old + shift)) + content;
    if (content === '' || content.startsWith('#')) return line;
    const now = place(old);
    // A mapping or list that begins behind a dash has its column there.
    let rest = content;
    let before = old;
    let after = now;
    let lead = '';
    for (
      let dash = /^-[ \t]+(?=\S)/.exec(rest);
      dash !== null && !rest.slice(dash[0].length).startsWith('#');
      dash = /^-[ \t]+(?=\S)/.exec(rest)
    ) {
      before += dash[0].length;
      after += 2;
      lead += '- ';
      rest = rest.slice(dash[0].length);
      levels.push({ old: before, now: after });
    }
    shift = after - before;
    return ' '.repeat(now) + lead + rest;
  });
  return withComments(laidOut, inner).join('\n');
}

/** A comment of its own line stands as deep as the line that follows it. */
function withComments(lines: readonly string[], inner: ReadonlySet<number>): string[] {
  let depth: number | null = null;
  return lines
    .map((line, index): string => {
      const at = lines.length - 1 - index;
      const current = lines[at] ?? '';
      const content = current.trimStart();
      if (inner.has(at) || content === '') return current;
      if (!content.startsWith('#')) {
        depth = current.length - content.length;
        return current;
      }
      return ' '.repeat(depth ?? current.length - content.length) + content;
    })
    .reverse();
}

/** Lines that begin inside of a scalar or flow collection. */
function innerLines(text: string): Set<number> {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  const lineOf = (offset: number): number => starts.findLastIndex((start) => start <= offset);
  const inner = new Set<number>();
  visit(parse(text), (_, node) => {
    const isOne = isScalar(node) || (isCollection(node) && node.flow === true);
    if (!isOne || !node.range || node.range[0] === node.range[1]) return undefined;
    const last = lineOf(node.range[0] + text.slice(node.range[0], node.range[1]).trimEnd().length - 1);
    for (let line = lineOf(node.range[0]) + 1; line <= last; line += 1) inner.add(line);
    return visit.SKIP;
  });
  return inner;
}

/** No blanks at the end of a line, no two empty lines in a row, one line break at the end. Empty lines in a literal text are part of it. */
function tidied(text: string): string {
  const inner = innerLines(text);
  const lines = text.split('\n').map((line, index) => (inner.has(index) ? line : line.trimEnd()));
  const kept = lines.filter((line, index) => line !== '' || inner.has(index) || (index > 0 && lines[index - 1] !== ''));
  return `${kept.join('\n').trimEnd()}\n`;
}
