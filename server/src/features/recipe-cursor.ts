// Where the cursor stands in a recipe, also in one that is half written: at a key or a value of which path, and what is typed so far.
import { lineStartOf } from '../recipe/span.js';
import type { RecipePath } from '../../../schemas/src/problem.js';

export interface RecipeCursor {
  kind: 'key' | 'value';
  /** kind key: of the mapping that holds it; kind value: of the value itself. */
  path: RecipePath;
  /** Typed before and after the cursor in the same scalar. */
  before: string;
  after: string;
  /** kind value: nothing but the value is on its line, so the first item of a list may be meant. */
  ownLine: boolean;
  /** Inside quotes. */
  quoted: boolean;
  /** Inside [ ] or { } that opened on this line. */
  inFlow: boolean;
  /** kind key: keys that the mapping has beside the one at the cursor. */
  siblings: readonly string[];
}

/** Parses YAML to plain values, as much as can be made of it; never throws. */
export type ParseValue = (text: string) => unknown;

/** No recipe holds this word; it marks the cursor in a copy of the text. */
const MARK = 'cursor7f3a';

/** The readings of the place, likelier first: a lone word may become a key or be a value. Empty in comments and where nothing can be read. */
export function findCursors(text: string, offset: number, parseValue: ParseValue): RecipeCursor[] {
  const lineStart = lineStartOf(text, offset);
  const nextLine = text.indexOf('\n', offset);
  const before = text.slice(lineStart, offset);
  const after = text.slice(offset, nextLine < 0 ? text.length : nextLine).trimEnd();
  const unquoted = before.replace(/"[^"]*"|'[^']*'/g, '');
  if (/(^|\s)#/.test(unquoted)) return [];
  const marked = (tail: string): string => text.slice(0, offset) + MARK + after + tail + text.slice(offset + after.length);
  const alone = /^\s*(- +)*[\w.-]*$/.test(before) && /^[\w.-]*$/.test(after);
  const found = [
    // The colon keeps a lone word from swallowing the next line.
    ...(alone ? [findMark(parseValue(marked(':')), [])].filter((mark) => mark?.kind === 'key') : []),
    findMark(parseValue(marked('')), []),
  ];
  return found.flatMap((mark) => {
    if (mark === null || mark === undefined) return [];
    // A scalar over several lines, or with escapes, is not the text of this line: what both have is.
    const [said = '', rest = ''] = mark.scalar.split(MARK);
    const typed = before.slice(before.length - sharedLength([...before].reverse(), [...said].reverse()));
    const lead = before.slice(0, before.length - typed.length);
    const last = mark.path.at(-1);
    return [
      {
        kind: mark.kind,
        path: mark.path,
        siblings: mark.siblings,
        before: typed,
        after: after.slice(0, sharedLength([...after], [...rest])),
        ownLine: mark.kind === 'value' && lead.trim() === '' && typeof last !== 'number',
        quoted: /["']$/.test(lead),
        inFlow: count(unquoted, /[[{]/g) > count(unquoted, /[\]}]/g),
      },
    ];
  });
}

interface FoundMark {
  kind: 'key' | 'value';
  path: RecipePath;
  scalar: string;
  siblings: readonly string[];
}

function findMark(value: unknown, path: RecipePath): FoundMark | null {
  if (typeof value === 'string') return value.includes(MARK) ? { kind: 'value', path, scalar: value, siblings: [] } : null;
  if (Array.isArray(value)) return firstFound(value.map((item, index) => () => findMark(item, [...path, index])));
  if (typeof value !== 'object' || value === null) return null;
  const entries = Object.entries(value);
  const key = entries.find(([name]) => name.includes(MARK))?.[0];
  if (key !== undefined) return { kind: 'key', path, scalar: key, siblings: entries.map(([name]) => name).filter((name) => name !== key) };
  return firstFound(
    entries.map(
      ([name, child]) =>
        () =>
          findMark(child, [...path, name]),
    ),
  );
}

function firstFound(searches: readonly (() => FoundMark | null)[]): FoundMark | null {
  for (const search of searches) {
    const found = search();
    if (found !== null) return found;
  }
  return null;
}

const count = (text: string, pattern: RegExp): number => (text.match(pattern) ?? []).length;

/** UTF-16 length of what two texts, as characters, begin with alike. */
function sharedLength(a: readonly string[], b: readonly string[]): number {
  let length = 0;
  for (const [index, char] of a.entries()) {
    if (char !== b[index]) break;
    length += char.length;
  }
  return length;
}
