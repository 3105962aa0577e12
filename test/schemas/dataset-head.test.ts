// The head of a dataset against the worker's reader of the whole: the same rows, and the same words where there is none.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readDatasetHead, readRows, textColumns, type DatasetHead } from '../../schemas/src/dataset/dataset-head.js';
import type { DatasetRow } from '../../schemas/src/dataset/dataset-row.js';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { readDatasetRows } from '../../worker/src/calibration/dataset-rows.js';
import { temporaryFolder } from '../support/tiny-llama-folder.js';

const folder = temporaryFolder('heads');
test.after(() => rmSync(folder, { recursive: true, force: true }));

function written(name: string, content: string | Uint8Array): string {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
}

async function headOf(file: string): Promise<DatasetHead> {
  const head = await readDatasetHead(file, nodeFiles.readRange);
  assert.ok(head);
  return head;
}

/** What the worker makes of the file: rows, and the message of what ends them. */
async function readWhole(file: string, textColumn: string): Promise<{ rows: DatasetRow[]; message: string | null }> {
  const rows: DatasetRow[] = [];
  try {
    for await (const row of readDatasetRows(file, textColumn)) rows.push(row);
  } catch (error) {
    return { rows, message: (error as Error).message };
  }
  return { rows, message: null };
}

const bad = Uint8Array.from([0x7b, 0xff, 0x0a]);

const cases: readonly (readonly [string, string | Uint8Array, string?])[] = [
  ['a.jsonl', '\ufeff{"text": "one\\ntwo"}\r\n\n{"input_ids": [3, 4]}\n{"messages": [{"content": "a"}, {"content": "b"}]}'],
  ['b.jsonl', '{"text": "a"}\n{"text": 7}\n{"text": "c"}\n'],
  ['c.jsonl', '{"text": "a"}\nno json\n'],
  ['d.jsonl', '{"text": "a"}\n["list"]\n'],
  ['e.jsonl', '{"input_ids": [1, 2.5]}\n'],
  ['f.jsonl', '{"prompt": "a", "answer": "b"}\n', 'text'],
  ['g.jsonl', '{"messages": [{"role": "user"}]}\n'],
  ['h.jsonl', bad],
  ['i.txt', ' = Title = \r\n\n \t \n A paragraph . \u2028\n'],
  ['j.csv', '\ufeffid,text\r\n1,"one\r\ntwo, ""three"""\r\n\r\n2,é日🙂\n3,last'],
  ['k.csv', 'id,text\n1,a\n2\n'],
  ['l.csv', 'id,body\n1,a\n'],
  ['m.csv', 'id,text\n1,"a\n'],
  ['n.csv', 'id,text\n1,a"b"\n'],
  ['o.csv', 'id,text\n1,a\n', 'id'],
];

for (const [name, content, column = 'text'] of cases)
  test(`${name} is read as the worker reads it`, async () => {
    const file = written(name, content);
    const { rows, fault } = readRows(await headOf(file), column, Infinity);
    const whole = await readWhole(file, column);
    assert.equal(fault === null, whole.message === null, `${fault?.detail} / ${whole.message}`);
    if (fault === null || whole.message === null) return assert.deepEqual(rows, whole.rows);
    assert.ok(whole.message.includes(fault.detail), `${fault.detail} / ${whole.message}`);
    assert.ok(whole.message.includes(fault.line === null ? file : `line ${fault.line}:`), `${fault.line} / ${whole.message}`);
    assert.deepEqual(whole.rows.slice(0, rows.length), rows);
  });

test('only the rows that are used are judged', async () => {
  const head = await headOf(written('p.jsonl', '{"text": "a"}\n{"text": "b"}\n{"body": "c"}\nno json\n'));
  assert.equal(readRows(head, 'text', 2).fault, null);
  assert.deepEqual(readRows(head, 'text', 3).fault?.columns, ['body']);
  assert.equal(readRows(head, 'text', 3).fault?.line, 3);
  assert.match(readRows(head, 'text', Infinity).fault?.detail ?? '', /neither text/);
});

test('a file without rows, and of another format', async () => {
  for (const [name, content, detail] of [
    ['q.jsonl', '\n \n', /^it has no row$/],
    ['r.csv', 'id,text\n', /^it has a header and no row$/],
    ['s.jsonl', Uint8Array.from([0x50, 0x41, 0x52, 0x31, 0x15, 0xff]), /^it is a Parquet file/],
    ['t.jsonl', Uint8Array.from([0x1f, 0x8b, 8, 0]), /^it is compressed \(gzip\)/],
    ['u.csv', Uint8Array.from([0xff, 0xfe, 0x69, 0]), /^it is UTF-16/],
    ['v.jsonl', '[\n{"text": "a"}\n]\n', /^the file is one JSON list/],
    ['w.txt', Uint8Array.from([0x61, 0x0a, 0xff]), /^the line is not UTF-8/],
  ] as const)
    assert.match(readRows(await headOf(written(name, content)), 'text', Infinity).fault?.detail ?? '', detail, name);
});

test('a row that is cut at the end of the head is not judged', async () => {
  const row = JSON.stringify({ text: 'é'.repeat(500) });
  const head = await headOf(written('x.jsonl', `${row}\n`.repeat(200)));
  assert.deepEqual([head.isWhole, head.fault, head.rows.length], [false, null, 64]);
  const quoted = `id,text\n${`1,"${'a\n'.repeat(300)}"\n`.repeat(200)}`;
  const records = await headOf(written('y.csv', quoted));
  assert.deepEqual([records.isWhole, records.fault, readRows(records, 'text', Infinity).fault], [false, null, null]);
  assert.ok(records.rows.length > 90 && records.rows.length < 200);
  // Its first line is longer than the usual head, and longer than the longest.
  const long = await headOf(written('z.jsonl', `${JSON.stringify({ body: 'a'.repeat(200_000) })}\n{"text": "b"}\n`));
  assert.deepEqual([long.columns, long.isWhole], [['body', 'text'], true]);
  const longer = await headOf(written('zz.jsonl', JSON.stringify({ text: 'a'.repeat(2_000_000) })));
  assert.deepEqual([longer.rows.length, readRows(longer, 'text', Infinity).fault], [0, null]);
});

test('columns with texts, in the order of the file', async () => {
  const file = written('columns.jsonl', '{"id": 1, "b": "x"}\n{"a": "y", "b": "z"}\n');
  assert.deepEqual(textColumns(await headOf(file)), [
    { name: 'b', sample: 'x' },
    { name: 'a', sample: 'y' },
  ]);
  assert.equal(await readDatasetHead(path.join(folder, 'a.parquet'), nodeFiles.readRange), null);
});
