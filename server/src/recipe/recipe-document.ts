// The parsed recipe with ranges: plain value, path ↔ range, offset → path. Ranges are attached to problems here, late, from their path.
import { isAlias, isCollection, isMap, isPair, isScalar, isSeq } from 'yaml';
import type { Document, Node, Pair, Range, LineCounter } from 'yaml';
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import type { Problem, RecipePath, TextRange } from '../../../schemas/src/problem.js';
import { anchorsOf, scalarsOf } from './recipe-nodes.js';
import type { RecipeAnchor, RecipeScalar } from './recipe-nodes.js';
import type { Span } from './span.js';

export interface PlaceInRecipe {
  path: RecipePath;
  at: 'key' | 'value';
}

interface Found {
  key: Node | null;
  value: Node | null;
  keyRange: Range | null;
}

export class RecipeDocument {
  constructor(
    readonly text: string,
    /** The recipe as plain data; {} where nothing can be read. */
    readonly value: Readonly<Record<string, unknown>>,
    private readonly yaml: Document.Parsed | null,
    private readonly lines: LineCounter,
    /** Where the YAML begins in the text: behind the opening line of a Markdown front matter. */
    private readonly base: number,
  ) {}

  /** The value at a path; undefined where there is none. */
  valueAt(path: RecipePath): unknown {
    let node: unknown = this.value;
    for (const step of path) {
      if (typeof node !== 'object' || node === null || !Object.hasOwn(node, step)) return undefined;
      node = (node as Record<string | number, unknown>)[step];
    }
    return node;
  }

  /** A scalar as it is written; null where the text does not hold it. */
  sourceOf(path: RecipePath): string | null {
    if (!this.has(path)) return null;
    const { begin, end } = this.spanOf(path, 'value');
    return this.text.slice(begin, end);
  }

  /** The longest part of the path that the text holds, as a span; the whole of a key or value. */
  spanOf(path: RecipePath, at: 'key' | 'value'): Span {
    for (let length = path.length; length > 0; length -= 1) {
      const found = this.find(path.slice(0, length));
      if (found === null) continue;
      // What is missing is best shown at the key of the mapping that lacks it.
      const range =
        at === 'value' && length === path.length ? (rangeOf(found.value) ?? found.keyRange) : (found.keyRange ?? rangeOf(found.value));
      if (range !== null) return { begin: this.base + range[0], end: this.base + Math.max(range[0], range[1]) };
    }
    const firstLine = /\S.*/.exec(this.text);
    return firstLine === null ? { begin: 0, end: 0 } : { begin: firstLine.index, end: firstLine.index + firstLine[0].trimEnd().length };
  }

  rangeOf(path: RecipePath, at: 'key' | 'value'): TextRange {
    return this.rangeOfSpan(this.spanOf(path, at));
  }

  /** Whether the text itself holds this path (a value that a merge key brings in does not). */
  has(path: RecipePath): boolean {
    return path.length === 0 || this.find(path) !== null;
  }

  /** Whether what stands at a path is between braces or brackets, in lines of its own, or an alias of what stands elsewhere. */
  styleOf(path: RecipePath): 'flow' | 'block' | 'alias' {
    const value = this.find(path)?.value;
    if (isAlias(value)) return 'alias';
    return isCollection(value) && value.flow === true ? 'flow' : 'block';
  }

  rangeOfSpan(span: Span): TextRange {
    const { begin, end } = span;
    return { start: this.positionAt(this.cutsPair(begin) ? begin - 1 : begin), end: this.positionAt(this.cutsPair(end) ? end + 1 : end) };
  }

  positionAt(offset: number): { line: number; character: number } {
    // The parser's errors may end one character behind the text.
    const inText = Math.min(offset, this.text.length);
    // Between the two characters of a line break an editor has no place.
    const isInBreak = this.text[inText] === '\n' && this.text[inText - 1] === '\r';
    const { line, col } = this.lines.linePos(isInBreak ? inText - 1 : inText);
    return { line: Math.max(0, line - 1), character: Math.max(0, col - 1) };
  }

  /** Characters outside the basic plane are two of JavaScript's; the parser's errors point at one. */
  private cutsPair(offset: number): boolean {
    return (this.text.codePointAt(offset - 1) ?? 0) > 0xffff;
  }

  offsetAt(position: { line: number; character: number }): number {
    const start = this.lines.lineStarts[position.line];
    return start === undefined ? this.text.length : Math.min(this.text.length, start + position.character);
  }

  /** The innermost key or value that holds the offset. */
  placeAt(offset: number): PlaceInRecipe | null {
    return this.yaml?.contents ? innermost(this.yaml.contents, offset - this.base, []) : null;
  }

  /** Keys and scalar values in the order of the text. */
  scalars(): RecipeScalar[] {
    if (this.yaml === null) return [];
    return scalarsOf(this.yaml).map((scalar) => ({ ...scalar, span: this.shifted(scalar.span) }));
  }

  anchors(): RecipeAnchor[] {
    if (this.yaml === null) return [];
    return anchorsOf(this.yaml, this.text.slice(this.base)).map(({ name, definition, aliases }) => ({
      name,
      definition: this.shifted(definition),
      aliases: aliases.map((alias) => this.shifted(alias)),
    }));
  }

  private shifted({ begin, end }: Span): Span {
    return { begin: this.base + begin, end: this.base + end };
  }

  attachRanges(problems: readonly Problem[]): ProblemWithRange[] {
    return problems
      .map(({ related, ...problem }) => ({
        ...problem,
        range: problem.range ?? this.rangeOf(problem.path, problem.at),
        ...(related === undefined
          ? {}
          : { related: related.map((place) => ({ ...place, range: place.range ?? this.rangeOf(place.path, place.at) })) }),
      }))
      .sort((a, b) => a.range.start.line - b.range.start.line || a.range.start.character - b.range.start.character);
  }

  private find(path: RecipePath): Found | null {
    let found: Found = { key: null, value: this.yaml?.contents ?? null, keyRange: null };
    for (const step of path) {
      const node = found.value;
      if (isMap(node)) {
        const pair = (node.items as Pair<Node, Node | null>[]).filter((item) => isPair(item) && keyText(item.key) === String(step)).at(-1);
        if (pair === undefined) return null;
        found = { key: pair.key, value: pair.value, keyRange: rangeOf(pair.key) };
      } else if (isSeq(node) && typeof step === 'number') {
        const item = node.items[step] as Node | undefined;
        if (item === undefined) return null;
        found = { key: null, value: item, keyRange: null };
      } else return null;
    }
    return found;
  }
}

const keyText = (key: Node | null): string | null => (isScalar(key) ? String(key.value) : null);

function rangeOf(node: Node | null): Range | null {
  if (node === null || !node.range) return null;
  const [begin, end, after] = node.range;
  // An empty value has no text of its own.
  return begin === end ? null : [begin, end, after];
}

function contains(node: Node | null, offset: number): boolean {
  return node !== null && !!node.range && node.range[0] <= offset && offset <= node.range[1];
}

function innermost(node: Node, offset: number, path: RecipePath): PlaceInRecipe | null {
  if (!contains(node, offset)) return null;
  if (isMap(node))
    for (const { key, value } of node.items as Pair<Node, Node | null>[]) {
      const step = keyText(key);
      if (step === null) continue;
      if (contains(key, offset)) return { path: [...path, step], at: 'key' };
      const inner = value === null ? null : innermost(value, offset, [...path, step]);
      if (inner !== null) return inner;
    }
  if (isSeq(node))
    for (const [index, item] of (node.items as Node[]).entries()) {
      const inner = innermost(item, offset, [...path, index]);
      if (inner !== null) return inner;
    }
  return { path, at: 'value' };
}
