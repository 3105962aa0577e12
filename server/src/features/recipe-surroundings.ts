// The lines that decide where a place in a recipe stands: its ancestors by indentation, the keys beside it, the items before it. Reading these few instead of
// a long text makes completion as fast as typing. Where indentation alone does not tell (JSON, flow over several lines, block scalars, anchors), the answer is null.
import { lineStartOf } from '../recipe/span.js';

export interface Surroundings {
  text: string;
  /** The place, in this text. */
  offset: number;
}

/** What a line begins: the columns of its dashes, and of the key or value behind them. */
interface LineLevels {
  dashes: number[];
  content: number;
}

const key = /(?:"[^"\\]*"|'[^']*'|[\w.$/-][^\s#'"[\]{},&*!|>%@`:]*)[ ]*:/.source;
const beginsWithKey = new RegExp(`^${key}(?=\\s|$)`);
const isKeyAlone = new RegExp(`^${key}[ ]*(?:#.*)?$`);

export function surroundingsOf(text: string, offset: number): Surroundings | null {
  if (text.includes('\t') || text.startsWith('\uFEFF') || /^(?:---|\.\.\.|%)/m.test(text)) return null;
  const lineStart = lineStartOf(text, offset);
  const nextLine = text.indexOf('\n', offset);
  const lineEnd = nextLine < 0 ? text.length : nextLine;
  const line = text.slice(lineStart, lineEnd);
  // What an alias names stands elsewhere.
  if (/(?:^|[\s,[{])\*[\w-]/.test(line)) return null;
  // As if a letter stood at the cursor: among the spaces before a line's text it is a level of its own.
  const own = levelsOf(`${text.slice(lineStart, offset)}x${text.slice(offset, lineEnd)}`);
  const above = text.slice(0, lineStart).split('\n').slice(0, -1);
  const below = nextLine < 0 ? [] : text.slice(lineEnd + 1).split('\n');
  const before = linesBefore(above, own);
  const after = before && linesAfter(below, own, line);
  if (before === null || after === null) return null;
  const lead = before.map((kept) => `${kept}\n`).join('');
  return { text: `${lead}${line}\n${after.join('\n')}`, offset: lead.length + offset - lineStart };
}

function levelsOf(line: string): LineLevels {
  const dashes: number[] = [];
  let at = /^ */.exec(line)?.[0].length ?? 0;
  while (/^-(?:\s|$)/.test(line.slice(at))) {
    dashes.push(at);
    at += 1 + (/^ */.exec(line.slice(at + 1))?.[0].length ?? 0);
  }
  return { dashes, content: at };
}

const isSkipped = (line: string): boolean => /^\s*(?:#|$)/.test(line);

/** Upwards to the first column. `column` is that of the level reached so far; a sequence's is that of its dashes. */
function linesBefore(above: readonly string[], { dashes: [firstDash], content }: LineLevels): string[] | null {
  const kept: string[] = [];
  let column = firstDash ?? content;
  let inSequence = firstDash !== undefined;
  // Keys beside the cursor count, keys beside its ancestors do not.
  let isOwnLevel = firstDash === undefined;
  for (const line of above.toReversed()) {
    if (isSkipped(line)) continue;
    const found = levelsOf(line);
    const behind = line.slice(found.content).trimEnd();
    const [first] = found.dashes;
    if ((first ?? found.content) > column) continue;
    if (inSequence && found.dashes.includes(column)) kept.push(`${line.slice(0, column)}-`);
    else if (!inSequence && found.content === column && behind !== '') {
      if (first === undefined && !isOwnLevel) continue;
      const beside = beginsWithKey.exec(behind)?.[0];
      if (beside === undefined) return null;
      kept.push(line.slice(0, column) + beside);
    } else if (found.content < column || (inSequence && found.content === column)) {
      if (behind !== '' && !isKeyAlone.test(behind)) return null;
      kept.push(line.trimEnd());
      column = found.content;
      inSequence = false;
      isOwnLevel = false;
    } else if (first === column) continue;
    else return null;
    if (first !== undefined && first < column) {
      column = first;
      inSequence = true;
      isOwnLevel = false;
    }
    if (column === 0 && !inSequence && !isOwnLevel) break;
  }
  return kept.reverse();
}

/** Downwards while the cursor's mapping goes on. */
function linesAfter(below: readonly string[], { content: column }: LineLevels, line: string): string[] | null {
  const kept: string[] = [];
  let isNext = true;
  for (const next of below) {
    // A comment ends a text that would go on in the next line.
    if (/^\s*#/.test(next)) kept.push('#');
    if (isSkipped(next)) continue;
    const found = levelsOf(next);
    const at = found.dashes[0] ?? found.content;
    if (at < column) break;
    // A flow or a quoted text of the cursor's line goes on below.
    if (at > column && isNext && /[[{"']/.test(line)) return null;
    isNext = false;
    if (at > column || found.dashes.length > 0) continue;
    const beside = beginsWithKey.exec(next.slice(column))?.[0];
    if (beside === undefined) return null;
    kept.push(next.slice(0, column) + beside);
  }
  return kept;
}
