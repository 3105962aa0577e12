// Ranges and edits of a text, counted as the editor counts, and refused where no editor could use them.
import assert from 'node:assert/strict';
import type { TextDocument } from 'vscode-languageserver-textdocument';
import type { TextRange } from '../../schemas/src/problem.js';
import type { TextReplacement } from '../../server/src/features/recipe-edits.js';

/** As the editor counts: a position behind the end of its line is none. */
export function inText(text: TextDocument, { start, end }: TextRange, what: string): void {
  const [begin, stop] = [text.offsetAt(start), text.offsetAt(end)];
  const where = `${what} at ${JSON.stringify({ start, end })}`;
  assert.deepEqual([text.positionAt(begin), text.positionAt(stop)], [start, end], `${where} is outside of the text`);
  assert.ok(begin <= stop, `${where} ends before it begins`);
  const content = text.getText();
  for (const at of [begin, stop])
    assert.ok(
      !/[\uD800-\uDBFF]/.test(content[at - 1] ?? '') || !/[\uDC00-\uDFFF]/.test(content[at] ?? ''),
      `${where} cuts a character in two`,
    );
}

export function applied(text: TextDocument, edits: readonly TextReplacement[]): string {
  const spans = edits
    .map(({ range, newText }) => {
      inText(text, range, 'edit');
      return { begin: text.offsetAt(range.start), end: text.offsetAt(range.end), newText };
    })
    .sort((a, b) => b.begin - a.begin);
  let rest = text.getText();
  let before = Infinity;
  for (const { begin, end, newText } of spans) {
    assert.ok(end <= before, 'two edits of one action overlap');
    rest = rest.slice(0, begin) + newText + rest.slice(end);
    before = begin;
  }
  return rest;
}
