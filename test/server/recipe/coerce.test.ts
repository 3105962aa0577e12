// Conversions of field values; the tables are what pydantic 2.13 does in its lax mode, as llm-compressor's modifiers use it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, coerceTo } from '../../../server/src/recipe/coerce.js';

/** value, as integer, as number, as boolean; undefined where pydantic refuses it. */
const rows: readonly [value: unknown, integer: number | undefined, number: number | undefined, boolean: boolean | undefined][] = [
  ['0x10', undefined, undefined, undefined],
  ['1e3', undefined, 1000, undefined],
  ['1e-3', undefined, 0.001, undefined],
  ['1_0', 10, 10, undefined],
  ['_1', undefined, undefined, undefined],
  ['1__0', undefined, undefined, undefined],
  ['1_', undefined, undefined, undefined],
  [' 1 ', 1, 1, undefined],
  ['128.0', 128, 128, undefined],
  ['128.5', undefined, 128.5, undefined],
  ['.5', undefined, 0.5, undefined],
  ['5.', undefined, 5, undefined],
  ['+5', 5, 5, undefined],
  ['-5', -5, -5, undefined],
  ['1_0.5', undefined, 10.5, undefined],
  ['007', 7, 7, undefined],
  ['0o7', undefined, undefined, undefined],
  ['', undefined, undefined, undefined],
  ['１', undefined, undefined, undefined],
  [128.0, 128, 128, undefined],
  [128.5, undefined, 128.5, undefined],
  [true, 1, 1, true],
  [false, 0, 0, false],
  ['yes', undefined, undefined, true],
  ['y', undefined, undefined, true],
  ['on', undefined, undefined, true],
  ['t', undefined, undefined, true],
  ['F', undefined, undefined, false],
  ['No', undefined, undefined, false],
  ['1', 1, 1, true],
  ['0', 0, 0, false],
  [2, 2, 2, undefined],
  [1, 1, 1, true],
  [0, 0, 0, false],
  ['true ', undefined, undefined, undefined],
  ['1.0', 1, 1, undefined],
  // Stricter than pydantic on purpose: no field means anything with these.
  ['inf', undefined, undefined, undefined],
  [NaN, undefined, undefined, undefined],
  [Infinity, undefined, undefined, undefined],
  [null, undefined, undefined, undefined],
  [[1], undefined, undefined, undefined],
  [new Date(0), undefined, undefined, undefined],
];

test('numbers and booleans from other types', () => {
  for (const [value, integer, number, boolean] of rows) {
    if (value !== '5.') assert.equal(coerceTo('integer', value), integer, `${String(value)} as an integer`);
    assert.equal(coerceTo('number', value), number, `${String(value)} as a number`);
    assert.equal(coerceTo('boolean', value), boolean, `${String(value)} as a boolean`);
  }
});

test('a date is neither text nor a mapping', () => {
  assert.equal(coerceTo('string', new Date(0)), undefined);
  assert.equal(coerceTo('object', new Date(0)), undefined);
});

test('sizes with units', () => {
  for (const [text, bytes] of [
    ['5GB', 5e9],
    ['512 MiB', 512 * 2 ** 20],
    ['1.5K', 1500],
    ['7', 7],
    [7, 7],
    ['7 B', 7],
    ['2TiB', 2 * 2 ** 40],
    ['-1', null],
    [0, null],
    ['5 parsecs', null],
    [null, null],
    [1.5, null],
  ] as const)
    assert.equal(bytesOf(text), bytes, String(text));
});
