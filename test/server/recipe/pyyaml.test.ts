// How a plain scalar is read: the table is what PyYAML 6.0.3's safe_load makes of it, which is what llm-compressor sees.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRecipe } from '../../../server/src/recipe/parse-recipe.js';

const DATE = Symbol('a date');
const REFUSED = Symbol('an error of PyYAML');

const scalars: readonly [text: string, value: unknown][] = [
  ['yes', true],
  ['Yes', true],
  ['YES', true],
  ['no', false],
  ['on', true],
  ['On', true],
  ['off', false],
  ['OFF', false],
  ['true', true],
  ['True', true],
  ['FALSE', false],
  ['y', 'y'],
  ['n', 'n'],
  ['Y', 'Y'],
  ['N', 'N'],
  ['yEs', 'yEs'],
  ['oN', 'oN'],
  ['~', null],
  ['null', null],
  ['Null', null],
  ['NULL', null],
  ['nUll', 'nUll'],
  ['None', 'None'],
  ['0', 0],
  ['-0', 0],
  ['7', 7],
  ['+7', 7],
  ['-7', -7],
  ['00', 0],
  ['007', 7],
  ['017', 15],
  ['-017', -15],
  ['0o17', '0o17'],
  ['08', '08'],
  ['09', '09'],
  ['1_000', 1000],
  ['1__0', 10],
  ['1_', 1],
  ['_1', '_1'],
  ['0_', 0],
  ['0x1F', 31],
  ['0X1F', '0X1F'],
  ['-0xff', -255],
  ['0b101', 5],
  ['0b2', '0b2'],
  ['1:30', 90],
  ['01:30', '01:30'],
  ['1:60', '1:60'],
  ['1:2:3', 3723],
  ['-1:30', -90],
  ['2:4', 124],
  ['0:0', '0:0'],
  ['12:30:45', 45045],
  ['1:30.5', 90.5],
  ['01:30.5', 90.5],
  ['1:30.5e1', '1:30.5e1'],
  ['.', '.'],
  ['.5', 0.5],
  ['-.5', '-.5'],
  ['+.5', '+.5'],
  ['5.', 5],
  ['-5.', -5],
  ['._5', '._5'],
  ['1._', 1],
  ['1.5', 1.5],
  ['-1.5', -1.5],
  ['1e-3', '1e-3'],
  ['1e3', '1e3'],
  ['1E5', '1E5'],
  ['12e03', '12e03'],
  ['-2E+05', '-2E+05'],
  ['1.0e-3', 0.001],
  ['1.0e3', '1.0e3'],
  ['1.0e+3', 1000],
  ['.5e-3', 0.0005],
  ['.5e3', '.5e3'],
  ['1.e+3', 1000],
  ['.e+3', '.e+3'],
  ['.inf', Infinity],
  ['-.inf', -Infinity],
  ['+.INF', Infinity],
  ['.iNF', '.iNF'],
  ['inf', 'inf'],
  ['.nan', NaN],
  ['-.nan', '-.nan'],
  ['nan', 'nan'],
  ['2020-01-02', DATE],
  ['2020-1-2', '2020-1-2'],
  ['2020-1-2T3:04:05', DATE],
  ['2020-13-45', REFUSED],
  ['1.2.3', '1.2.3'],
  ['128.0', 128],
  ['0x_', REFUSED],
  ['0b_', REFUSED],
  ['=', REFUSED],
  ['<<', REFUSED],
  ['re:.*lm_head', 're:.*lm_head'],
  ['a:b', 'a:b'],
  ['0x', '0x'],
  ['1e', '1e'],
  ['+', '+'],
  ['-.', '-.'],
  ['99999999999999999999', 1e20],
];

test('scalars are what PyYAML makes of them', () => {
  for (const [text, expected] of scalars) {
    const { document, problems } = parseRecipe(`a: ${text}`);
    const refused = problems.some(({ code }) => code === 'yaml-syntax');
    const value = document.valueAt(['a']);
    const found = refused ? REFUSED : value instanceof Date ? DATE : value;
    assert.ok(Object.is(found, expected), `${text} is ${String(found)}, and ${String(expected)} in PyYAML`);
  }
});

/** Whole texts; null: PyYAML refuses them. */
const texts: readonly [text: string, value: unknown][] = [
  ['a: 1\na: 2', { a: 2 }],
  ['a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}', { a: { b: 1, c: 2 }, d: { b: 3, c: 2 } }],
  ['a: &x {b: 1, c: 2}\nd: {b: 3, <<: *x}', { a: { b: 1, c: 2 }, d: { b: 3, c: 2 } }],
  ['a: &x {b: 1}\nz: &y {b: 2, c: 5}\nd: {<<: [*x, *y]}', { a: { b: 1 }, z: { b: 2, c: 5 }, d: { b: 1, c: 5 } }],
  ['a: &x {b: 1}\nz: &y {b: 2}\nd:\n  <<: *x\n  <<: *y', { a: { b: 1 }, z: { b: 2 }, d: { b: 2 } }],
  ['a: &x {b: 1}\nd: {<<: 3}', null],
  ["'<<': {a: 1}", { '<<': { a: 1 } }],
  ['=: 3', { '=': 3 }],
  ['{[a]: b}', null],
  ['{{ jinja }}', null],
  ['a: {Linear}', { a: { Linear: null } }],
  ['a: [b: c]', { a: [{ b: 'c' }] }],
  ['a:\tb', null],
  ['a: b\t# c', null],
  ['a: [b,\tc]', null],
  ["a: 'x\ty'", { a: 'x\ty' }],
  ['a: b # c\td', { a: 'b' }],
  ['%YAML 1.2\n---\na: on', { a: true }],
  ['%YAML 2.0\n---\na: on', null],
  ['a: 1\n---\nb: 2', null],
  ['a: !foo b', null],
  ['a: !!str 1', { a: '1' }],
  ["a: !!int '3'", { a: 3 }],
  ['a: !!float 1e3', { a: 1000 }],
  ["a: !!bool 'yes'", { a: true }],
  ['a: !!int x', null],
  ['a: *x', null],
  ['a: &x 1\nb: *x', { a: 1, b: 1 }],
  ['a: "\\x41\\u00e9"', { a: 'Aé' }],
  ['a: "re:.*\\.x"', null],
  ["a: 're:.*\\.x'", { a: 're:.*\\.x' }],
  ['a: [re:.*lm_head, lm_head]', { a: ['re:.*lm_head', 'lm_head'] }],
  ['a: @b', null],
  ['a: b: c', null],
  ['a: - b', null],
  ['a: 1\r\nb: 2\r\n', { a: 1, b: 2 }],
  ['\uFEFFa: 1', { a: 1 }],
  ['a: \u0007', null],
  ['{"a": [1, {"b": null}]}', { a: [1, { b: null }] }],
  ['{a: 1, b: 2,}', { a: 1, b: 2 }],
];

test('whole texts are read or refused as PyYAML does it', () => {
  for (const [text, expected] of texts) {
    const { document, problems } = parseRecipe(text);
    const refused = problems.some(({ code }) => code === 'yaml-syntax');
    assert.deepEqual(
      refused ? null : document.value,
      expected,
      `${JSON.stringify(text)}: ${problems.map(({ message }) => message).join(' ')}`,
    );
  }
});

test('merged keys come first, as in PyYAML: the order of modifiers follows from it', () => {
  const { document } = parseRecipe('x: &x {b: 1}\nd: {a: 2, <<: *x}');
  assert.deepEqual(Object.keys(document.valueAt(['d']) as object), ['b', 'a']);
});
