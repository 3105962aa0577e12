// Completion of text_column: the columns of the file that the recipe names, wherever it is named and however it is written.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeRecipe } from '../../../server/src/features/completion.js';
import type { CompletionEntry } from '../../../server/src/features/completion-entry.js';
import { withCursor } from '../../support/recipe-features.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

function complete(marked: string, files: Record<string, string>): Promise<CompletionEntry[]> {
  return inFolder({ model: null, files }, async (dir) => {
    const cursor = withCursor(marked);
    const { resolution } = await checkIn(dir, cursor.text);
    const { entries } = await completeRecipe({ ...cursor, model: null, datasets: resolution, listFolder: () => Promise.resolve(null) });
    return entries;
  });
}

const labels = (entries: readonly CompletionEntry[]): string[] => entries.map(({ label }) => label);

const rows = '{"id": 7, "question": "Why?", "turns": [], "answer": "Because\\nof $1"}\n{"source": "book"}\n';

test('the columns that hold texts, with their first text', async () => {
  const entries = await complete('calibration:\n  dataset: a.jsonl\n  text_column: $0\n', { 'a.jsonl': rows });
  assert.deepEqual(
    entries.map(({ label, detail, snippet }) => [label, detail, snippet]),
    [
      ['question', 'Why?', 'question'],
      ['answer', 'Because of $1', 'answer'],
      ['source', 'book', 'source'],
    ],
  );
});

test('a half-written name, in flow style, and for the evaluation', async () => {
  const files = { 'a.jsonl': rows, 'b.csv': '\ufefftitle,"a: b",no\nx,"y\nz",w\n' };
  assert.deepEqual(labels(await complete('calibration: {dataset: a.jsonl, text_column: que$0}', files)), ['question', 'answer', 'source']);
  const entries = await complete('evaluate:\n  perplexity:\n    dataset: b.csv\n    text_column: $0', files);
  assert.deepEqual(
    entries.map(({ snippet }) => snippet),
    ['title', "'a: b'", "'no'"],
  );
  assert.equal((await complete('evaluate: {perplexity: {dataset: b.csv, text_column: "a$0"}}', files))[1]?.snippet, 'a: b');
});

test('nothing where there are no columns: no file, lines of text, nothing that can be read', async () => {
  const files = { 'a.txt': 'a line\n', 'b.jsonl': 'no json\n' };
  for (const name of ['none.jsonl', 'a.txt', 'b.jsonl', 'b.parquet'])
    assert.deepEqual(await complete(`calibration:\n  dataset: ${name}\n  text_column: $0\n`, files), [], name);
});

test('of a large file only the head is read', async () => {
  const [first, later] = ['{"text": "a"}\n', '{"later": "b"}\n'];
  const files = { 'a.jsonl': first.repeat(5000) + later };
  assert.deepEqual(labels(await complete('calibration:\n  dataset: a.jsonl\n  text_column: $0\n', files)), ['text']);
});
