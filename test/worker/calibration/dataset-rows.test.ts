// Rows of dataset files, and how each broken one is refused: with the file, the line and what is wrong there.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { DatasetRow } from '../../../schemas/src/dataset/dataset-row.js';
import { readDatasetRows } from '../../../worker/src/calibration/dataset-rows.js';
import { failureCode } from '../../support/failures.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

const folder = temporaryFolder('datasets');
test.after(() => rmSync(folder, { recursive: true, force: true }));

async function rowsOf(name: string, content: string | Uint8Array, textColumn = 'text'): Promise<DatasetRow[]> {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return collect(readDatasetRows(file, textColumn));
}

async function collect(source: AsyncIterable<DatasetRow>): Promise<DatasetRow[]> {
  const rows: DatasetRow[] = [];
  for await (const row of source) rows.push(row);
  return rows;
}

const text = (line: number, value: string): DatasetRow => ({ line, text: value, fromMessages: false });

test('.jsonl: text, input_ids and messages, with their lines', async () => {
  const content = [
    '{"text": "one\\ntwo"}',
    '',
    '{"input_ids": [3, 4]}',
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
  ];
  assert.deepEqual(await rowsOf('a.jsonl', content.join('\n')), [
    text(1, 'one\ntwo'),
    { line: 3, input_ids: [3, 4] },
    { line: 4, text: 'a\nb', fromMessages: true },
  ]);
  assert.deepEqual(await rowsOf('b.jsonl', '{"body": "x", "text": 7}\n', 'body'), [text(1, 'x')], 'another column');
});

test('.jsonl: every way of writing lines', async () => {
  const separators = 'line\u2028and\u2029paragraph\u0085separators \u000b\u000c and a lone \r';
  assert.deepEqual(await rowsOf('c.jsonl', `\ufeff{"text": "first"}\r\n{"text": "with \u2028 inside"}\n\n  \n{"text": ""}`), [
    text(1, 'first'),
    text(2, 'with \u2028 inside'),
    text(5, ''),
  ]);
  assert.deepEqual(await rowsOf('d.txt', `${separators}\r\nlast`), [text(1, separators), text(2, 'last')]);
  assert.deepEqual(await rowsOf('empty.jsonl', ''), []);
  // Longer than one read of the file, with characters of several bytes across its borders.
  const long = 'é日🙂'.repeat(40_000);
  assert.deepEqual(await rowsOf('e.jsonl', `${JSON.stringify({ text: long })}\n${JSON.stringify({ text: 'behind' })}\n`), [
    text(1, long),
    text(2, 'behind'),
  ]);
});

test('.txt: a row per line that is not blank, spaces kept', async () => {
  assert.deepEqual(await rowsOf('f.txt', ' = Title = \n\n \t \n A paragraph . \n'), [text(1, ' = Title = '), text(4, ' A paragraph . ')]);
});

test('.csv: quoted fields with commas, quotes and line ends; the line is where the row ends', async () => {
  const content = '\ufeffid,text,more\r\n1,plain,x\r\n\r\n2,"a, ""b""\r\nc",y\n3,,z\n';
  assert.deepEqual(await rowsOf('g.csv', content), [text(2, 'plain'), text(5, 'a, "b"\r\nc'), text(6, '')]);
});

const refusals: [name: string, file: string, content: string | Uint8Array, ...patterns: RegExp[]][] = [
  ['JSON that breaks off', 'h.jsonl', '{"text": "a"}\n{"text": "b\n', /line 2/, /not JSON/],
  ['a line that is no object', 'i.jsonl', '["text"]\n', /line 1/, /not a JSON object/],
  ['a row without text', 'j.jsonl', '{"text": "a"}\n\n{"story": "b", "id": 1}\n', /line 3/, /text_column/, /story, id/],
  ['a text that is a number', 'k.jsonl', '{"text": 7}\n', /line 1/, /the number 7/],
  ['a text that is null', 'k2.jsonl', '{"text": null, "input_ids": [1]}\n', /line 1/, /null/],
  ['ids that are no integers', 'l.jsonl', '{"input_ids": [1, 2.5]}\n', /line 1/, /2\.5/],
  ['messages without text', 'm.jsonl', '{"messages": [{"role": "user"}]}\n', /line 1/, /message/],
  [
    'bytes that are not UTF-8',
    'n.jsonl',
    Buffer.concat([Buffer.from('{"text": "a"}\n{"text": "'), Buffer.from([0xe9]), Buffer.from('"}\n')]),
    /line 2/,
    /UTF-8/,
  ],
  ['a .txt that is not UTF-8', 'o.txt', Buffer.from([0x61, 0x0a, 0xff, 0x0a]), /line 2/, /UTF-8/],
  ['a .csv that is not UTF-8', 'p.csv', Buffer.from([...Buffer.from('text\na\n'), 0xff, 0x0a]), /line 3/, /UTF-8/],
  ['a .csv without the column', 'q.csv', 'id,story\n1,a\n', /line 1/, /no column text/, /id, story/],
  ['a .csv row that is too short', 'r.csv', 'id,text\n1,a\n2\n', /line 3/, /1 columns/],
  ['a quote that is never closed', 's.csv', 'text\n"a\nb\n', /quote/i],
  ['a quote in the middle', 't.csv', 'text\na "b" c\n', /line 2/],
  ['another ending', 'u.parquet', 'PAR1', /\.parquet/, /\.jsonl, \.txt or \.csv/],
];

for (const [name, file, content, ...patterns] of refusals)
  test(`refuses ${name}`, () =>
    assert.rejects(rowsOf(file, content), failureCode('dataset-invalid', new RegExp(file.replace('.', '\\.')), ...patterns)));

test('refuses what cannot be read', async () => {
  const read = (file: string): Promise<DatasetRow[]> => collect(readDatasetRows(path.join(folder, file), 'text'));
  for (const ending of ['jsonl', 'txt', 'csv'])
    await assert.rejects(read(`missing.${ending}`), failureCode('file-unreadable', /missing\./, /no such file/));
  mkdirSync(path.join(folder, 'folder.jsonl'));
  await assert.rejects(read('folder.jsonl'), failureCode('file-unreadable', /folder\.jsonl/));
  writeFileSync(path.join(folder, 'secret.csv'), 'text\na\n');
  chmodSync(path.join(folder, 'secret.csv'), 0);
  if (process.getuid?.() !== 0) await assert.rejects(read('secret.csv'), failureCode('file-unreadable', /permission denied/));
});

test('a reader that stops early closes the file', async () => {
  const file = path.join(folder, 'many.jsonl');
  writeFileSync(file, '{"text": "a"}\n'.repeat(50_000));
  for (let i = 0; i < 20; i += 1)
    for await (const row of readDatasetRows(file, 'text')) {
      assert.equal(row.line, 1);
      break;
    }
});
