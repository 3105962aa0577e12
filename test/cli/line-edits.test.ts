// Two texts as edits of lines: applied from behind they make the second of the first, and they touch no line that both have.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lineEdits } from '../../client/src/line-edits.js';
import { seededRandom } from '../support/random.js';

function applied(before: string, after: string): string {
  const lines = before.split(/(?<=\n)/).filter((line) => line !== '');
  for (const { begin, end, text } of lineEdits(before, after).reverse()) lines.splice(begin, end - begin, text);
  return lines.join('');
}

test('edits make the second text of the first', () => {
  const random = seededRandom(7);
  const text = (): string =>
    Array.from({ length: random.below(12) }, () => `${random.of([...'abcd'])}\n`).join('') + (random.next() < 0.3 ? 'end' : '');
  for (let round = 0; round < 500; round += 1) {
    const [before, after] = [text(), text()];
    assert.equal(applied(before, after), after, JSON.stringify([before, after]));
  }
});

test('what is equal is left alone', () => {
  assert.deepEqual(lineEdits('a\nb\nc\n', 'a\nb\nc\n'), []);
  assert.deepEqual(lineEdits('a\nb\nc\n', 'a\nx\ny\nc\n'), [{ begin: 1, end: 2, text: 'x\ny\n' }]);
  assert.deepEqual(
    lineEdits('a\nb\nc\nd\n', 'b\nc\n').map(({ begin, end }) => [begin, end]),
    [
      [0, 1],
      [3, 4],
    ],
  );
});
