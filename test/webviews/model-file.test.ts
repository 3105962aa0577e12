// The parts of the page of a model file, as pure values: rows, keys, facts, and a chosen tensor.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawFacts } from '../../client/webviews/model-file/file-facts.js';
import { drawTensor } from '../../client/webviews/model-file/tensor-details.js';
import { rowAfterKey, rowsOf, visibleRows, type TensorOrder } from '../../client/webviews/model-file/tensor-rows.js';
import { toMarkup } from '../../client/webviews/plot/element.js';
import type { FileTensor, ModelFileFacts } from '../../schemas/src/protocol/model-file-page.js';
import { readNameFilter } from '../../schemas/src/name-filter.js';
import { matchesSnapshot } from '../support/snapshot.js';
import { weirdNames } from '../support/weird-safetensors.js';

const tensor = (
  name: string,
  dtype: string,
  shape: number[],
  bytes: number | null,
  offset: number | null,
  file: string | null = null,
): FileTensor => ({
  name,
  dtype,
  shape,
  bytes,
  offset,
  file,
});
const tensors = [
  tensor('layers.10.weight', 'F32', [2, 3], 24, 100),
  tensor('layers.2.weight', 'Q4_K', [4, 256], 576, 0),
  tensor('norm', 'F32', [3], 12, 50),
  tensor('odd', 'type 99', [5], null, null, 'weights.bin'),
];
const shown = (text: string, order: TensorOrder = { key: null, descending: false }): string[] =>
  rowsOf(tensors, readNameFilter(text), order).map((index) => tensors[index]?.name ?? '');

test('filters: words in any case, of name and type; an expression; one that is none filters nothing and says why', () => {
  assert.deepEqual(shown(''), ['layers.10.weight', 'layers.2.weight', 'norm', 'odd']);
  assert.deepEqual(shown('LAYERS f32'), ['layers.10.weight']);
  assert.deepEqual(shown('/^layers\\.\\d\\./'), ['layers.2.weight']);
  assert.deepEqual(shown('/NORM/i'), ['norm']);
  const broken = readNameFilter('/(/');
  assert.ok('error' in broken && broken.error !== '');
  assert.equal(shown('/(/').length, 4);
  assert.deepEqual(shown('/'), []);
});

test('orders: names by their numbers, shapes by their values, unknown sizes first, other files last; and back to that of the file', () => {
  const by = (key: TensorOrder['key'], descending = false): string[] => shown('', { key, descending });
  assert.deepEqual(by('name'), ['layers.2.weight', 'layers.10.weight', 'norm', 'odd']);
  assert.deepEqual(by('name', true), ['odd', 'norm', 'layers.10.weight', 'layers.2.weight']);
  assert.deepEqual(by('shape'), ['norm', 'odd', 'layers.10.weight', 'layers.2.weight']);
  assert.deepEqual(by('bytes'), ['odd', 'norm', 'layers.10.weight', 'layers.2.weight']);
  assert.deepEqual(by('offset'), ['layers.2.weight', 'norm', 'layers.10.weight', 'odd']);
  assert.deepEqual(by('dtype'), ['layers.10.weight', 'norm', 'layers.2.weight', 'odd']);
});

test('only rows near the view are drawn, whatever the number and wherever it was scrolled', () => {
  assert.deepEqual(visibleRows(100_000, 24, 0, 600), { first: 0, last: 37 });
  assert.deepEqual(visibleRows(100_000, 24, 24 * 50_000, 600), { first: 49_988, last: 50_037 });
  assert.deepEqual(visibleRows(100_000, 24, 24 * 100_000, 600), { first: 99_988, last: 100_000 });
  assert.deepEqual(visibleRows(3, 24, 9e9, 600), { first: 0, last: 3 });
  assert.deepEqual(visibleRows(0, 24, 0, 600), { first: 0, last: 0 });
});

test('keys lead within the table', () => {
  const after = (key: string, row: number): number | null => rowAfterKey(key, row, 100, 20);
  assert.deepEqual(
    [
      after('ArrowDown', 99),
      after('ArrowUp', 0),
      after('PageDown', 10),
      after('PageUp', 10),
      after('Home', 50),
      after('End', 50),
      after('x', 5),
    ],
    [99, 0, 30, 0, 0, 99, null],
  );
  assert.equal(rowAfterKey('End', 0, 0, 20), null);
});

test('a hundred thousand tensors are filtered and sorted in less than a second of the processor', () => {
  const many = Array.from({ length: 100_000 }, (_, i) => tensor(`model.layers.${i % 997}.experts.${i}.w`, 'BF16', [i % 7, 8], i, i));
  const began = process.cpuUsage();
  const rows = rowsOf(many, readNameFilter('layers experts'), { key: 'name', descending: false });
  assert.equal(rows.length, many.length);
  const { user } = process.cpuUsage(began);
  assert.ok(user < 1e6, `${user / 1000} ms`);
});

const file: ModelFileFacts = {
  format: 'GGUF',
  size: 1000,
  facts: [{ name: 'Version', value: '3' }],
  metadata: [{ key: '<b>k</b>', value: weirdNames[1] }],
  tensors,
  problems: ['The tensors end at byte 2000, and the file has only 1000: it is truncated. Download it again.'],
};

test('facts, problems and metadata; names are text', () => {
  const markup = drawFacts('<i>file</i>.gguf', file)
    .map((drawing) => toMarkup(drawing))
    .join('\n');
  for (const part of ['it is truncated', 'Metadata (1)', '&lt;b&gt;k&lt;/b&gt;', '&lt;i&gt;file', '&lt;script&gt;'])
    assert.ok(markup.includes(part), part);
  assert.ok(!/<(b|i|script|img)[ >]/.test(markup));
});

test('a tensor: before, while and after its statistics are asked for, and why there are none', () => {
  const drawn = (...[looked, why]: [Parameters<typeof drawTensor>[1], string | null]): string =>
    drawTensor(tensors[1]!, looked, why, 400)
      .map((drawing) => toMarkup(drawing))
      .join('\n');
  assert.match(drawn(null, null), /data-action="inspect"[^]*Statistics/);
  assert.match(drawn('asked', null), /The weights are read/);
  assert.match(drawn({ message: 'no <b>' }, null), /role="alert">no &lt;b&gt;/);
  assert.match(drawn(null, 'Not yet.'), /Not yet\./);
  assert.ok(!drawn(null, 'Not yet.').includes('<button'));
  const statistics = {
    name: weirdNames[0],
    dtype: 'F32',
    shape: [4],
    count: 4,
    n_nan: 1,
    n_inf: 0,
    min: -1,
    max: 2,
    mean: 0.123456,
    std: 1,
    absmax: 2,
    histogram: { min: -1, max: 2, counts: [1, 0, 2] },
  };
  const markup = drawn({ statistics }, null);
  matchesSnapshot('webviews/snapshots/tensor-statistics.html', markup);
  for (const part of ['0.12346', '1 NaN, 0 infinite of 4', 'class="histogram"', 'Histogram of &lt;img'])
    assert.ok(markup.includes(part), part);
});
