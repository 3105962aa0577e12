// Quick fixes as edits of the text: what is left after choosing one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RecipeEdit } from '../../../schemas/src/problem.js';
import { textReplacement } from '../../../server/src/features/recipe-edits.js';
import { parseRecipe } from '../../../server/src/recipe/parse-recipe.js';
import { applyEdits, applyFix } from '../../support/recipe-features.js';

function edited(text: string, edit: RecipeEdit): string | null {
  const { document } = parseRecipe(text);
  const replacement = textReplacement(document, edit);
  return replacement === null ? null : applyEdits(document, [replacement]);
}

test('a misspelled field is renamed', async () => {
  const recipe = (key: string): string =>
    `quant_stage:\n  quant_modifiers:\n    GPTQModifier:\n      scheme: W4A16\n      ${key}: [lm_head]\n`;
  assert.equal(await applyFix(recipe('ignor'), 'unknown-field'), recipe('ignore'));
});

test('a target that matches nothing becomes the pattern that was meant', async () => {
  const recipe = (target: string): string =>
    `model: ./\noutput: {dir: ../out}\nquant_stage:\n  quant_modifiers:\n    QuantizationModifier: {scheme: W8A8, targets: [${target}]}\n`;
  assert.equal(await applyFix(recipe('q_proj'), 'target-matches-nothing'), recipe("'re:.*q_proj$'"));
});

test('a scheme takes the place of what is there and says nothing', async () => {
  const recipe = (body: string): string => `quant_stage: {quant_modifiers: {QuantizationModifier: {${body}}}}\n`;
  for (const [before, after] of [
    ['ignore: [a]', 'ignore: [a], scheme: W4A16'],
    ['scheme: null, ignore: [a]', 'scheme: W4A16, ignore: [a]'],
    ['config_groups: {}, ignore: [a]', 'scheme: W4A16, ignore: [a]'],
  ] as const)
    assert.equal(await applyFix(recipe(before), 'scheme-missing'), recipe(after));
  await assert.rejects(applyFix(recipe('config_groups: [{targets: [Linear]}]'), 'scheme-missing'));
});

const replacements: [string, string, RecipeEdit, string][] = [
  ['a value', 'a: 1 # why\nb: 2\n', { kind: 'replace-value', path: ['a'], text: '3' }, 'a: 3 # why\nb: 2\n'],
  ['an empty value', 'a:\nb: 2\n', { kind: 'replace-value', path: ['a'], text: '{}' }, 'a: {}\nb: 2\n'],
  ['an empty value with an anchor', 'a: &x\nb: *x\n', { kind: 'replace-value', path: ['a'], text: '{}' }, 'a: &x {}\nb: *x\n'],
  ['a block value', 'a:\n  x: 1\n  y: 2\n\nb: 2\n', { kind: 'replace-value', path: ['a'], text: '{}' }, 'a:\n  {}\n\nb: 2\n'],
  ['a key', 'a: 1\n', { kind: 'replace-key', path: ['a'], text: 'b' }, 'b: 1\n'],
  ['remove a line', 'a: 1\nb: 2 # gone\nc: 3\n', { kind: 'remove', path: ['b'] }, 'a: 1\nc: 3\n'],
  ['remove a block', 'a:\n  b:\n    - 1\n    - 2\n  c: 3\n', { kind: 'remove', path: ['a', 'b'] }, 'a:\n  c: 3\n'],
  ['remove from a flow mapping, first', 'a: {b: 1, c: 2}\n', { kind: 'remove', path: ['a', 'b'] }, 'a: {c: 2}\n'],
  ['remove from a flow mapping, last', 'a: {b: 1, c: 2}\n', { kind: 'remove', path: ['a', 'c'] }, 'a: {b: 1}\n'],
  ['remove from a flow list', 'a: [x, y]\n', { kind: 'remove', path: ['a', 1] }, 'a: [x]\n'],
  ['remove a list item', 'a:\n  - x\n  - y\n', { kind: 'remove', path: ['a', 0] }, 'a:\n  - y\n'],
  ['remove the first key of a list item', 'a:\n  - x: 1\n    y: 2\n', { kind: 'remove', path: ['a', 0, 'x'] }, 'a:\n  - y: 2\n'],
  ['insert into a block', 'a:\n  b: 1\nc: 2\n', { kind: 'insert-key', path: ['a'], key: 'd', text: '3' }, 'a:\n  b: 1\n  d: 3\nc: 2\n'],
  ['insert into a flow', 'a: {b: 1}\n', { kind: 'insert-key', path: ['a'], key: 'd', text: '3' }, 'a: {b: 1, d: 3}\n'],
  ['insert into an empty flow', 'a: {}\n', { kind: 'insert-key', path: ['a'], key: 'd', text: '3' }, 'a: {d: 3}\n'],
  [
    'insert into a flow that ends in a comma',
    'a: {b: 1,}\n',
    { kind: 'insert-key', path: ['a'], key: 'd', text: '3' },
    'a: {b: 1, d: 3,}\n',
  ],
  [
    'insert into a flow that ends in a comment',
    'a: {b: 1, # one\n  }\n',
    { kind: 'insert-key', path: ['a'], key: 'd', text: '3' },
    'a: {b: 1, d: 3, # one\n  }\n',
  ],
  [
    'insert into a flow without keys of its own',
    'x: &x {}\na: {<<: *x}\n',
    { kind: 'insert-key', path: ['a'], key: 'd', text: '3' },
    'x: &x {}\na: {d: 3, <<: *x}\n',
  ],
  ['insert under a key without value', 'x:\n  a:\n', { kind: 'insert-key', path: ['x', 'a'], key: 'd', text: '3' }, 'x:\n  a:\n    d: 3\n'],
  ['insert at the root', 'a: 1\n', { kind: 'insert-key', path: [], key: 'd', text: '3' }, 'a: 1\nd: 3\n'],
  [
    'the value of a flow key without colon',
    'a: {b, c: 1}\n',
    { kind: 'replace-value', path: ['a', 'b'], text: '{}' },
    'a: {b: {}, c: 1}\n',
  ],
  ['remove an explicit key', 'a: {? b, c: 1}\n', { kind: 'remove', path: ['a', 'b'] }, 'a: {c: 1}\n'],
  ['append to a flow list', 'a: [x]\n', { kind: 'append-item', path: ['a'], text: 'y' }, 'a: [x, y]\n'],
  ['append to an empty list', 'a: []\n', { kind: 'append-item', path: ['a'], text: 'y' }, 'a: [y]\n'],
  ['append to a block list', 'a:\n  - x\nb: 1\n', { kind: 'append-item', path: ['a'], text: 'y' }, 'a:\n  - x\n  - y\nb: 1\n'],
  ['append to a lone string', 'a: x\n', { kind: 'append-item', path: ['a'], text: 'y' }, 'a: [x, y]\n'],
];

for (const [name, before, edit, after] of replacements) test(`edit: ${name}`, () => assert.equal(edited(before, edit), after));

test('a recipe in JSON stays JSON', () => {
  const text = '{\n\t"a": {"b": "c"},\n\t"d": [1]}';
  for (const [edit, after] of [
    [{ kind: 'replace-key', path: ['a', 'b'], text: 'x' }, text.replace('"b"', '"x"')],
    [{ kind: 'replace-value', path: ['a', 'b'], text: "'re:x'" }, text.replace('"c"', '"re:x"')],
    [{ kind: 'insert-key', path: ['a'], key: 'k', text: '[v]' }, text.replace('"c"', '"c", "k": ["v"]')],
    [{ kind: 'append-item', path: ['d'], text: 'v' }, text.replace('1', '1, "v"')],
    [{ kind: 'remove', path: ['a'] }, text.replace('"a": {"b": "c"},\n\t', '')],
  ] satisfies [RecipeEdit, string][]) {
    assert.equal(edited(text, edit), after);
    JSON.parse(after);
  }
});

test('an edit that would take an anchor away from its aliases is no edit', () => {
  const text = 'a: {x: &n 1}\nb: *n\nc: &o 2\nd: {e: &p 3, f: *p}\n';
  assert.equal(edited(text, { kind: 'remove', path: ['a'] }), null);
  assert.equal(edited(text, { kind: 'replace-value', path: ['a'], text: '{}' }), null);
  assert.equal(edited(text, { kind: 'remove', path: ['c'] }), text.replace('c: &o 2\n', ''));
  assert.equal(edited(text, { kind: 'remove', path: ['d'] }), text.replace('d: {e: &p 3, f: *p}\n', ''));
});

test('an edit of a place that is not in the text is no edit', () => {
  assert.equal(edited('a: 1\n', { kind: 'remove', path: ['b'] }), null);
  assert.equal(edited('base: &b {x: 1}\na:\n  <<: *b\n', { kind: 'remove', path: ['a', 'x'] }), null);
});

test('two entries of a flow that go together take the comma between them once', async () => {
  const recipe = 'quant_stage:\n  quant_modifiers:\n    AWQModifier: {n_grid: 20, targets: [Linear], ignore: [lm_head]}\n';
  const moved = await applyFix(recipe, 'awq-without-quantizer');
  assert.match(moved, /AWQModifier: \{n_grid: 20\}\n {4}QuantizationModifier: /);
});

test('a byte order mark where a value is missing goes with its key', async () => {
  const recipe = (rest: string): string =>
    `quant_stage:\n  quant_modifiers:\n    QuantizationModifier: {scheme: W4A16, ignore: [lm_head]${rest}}\n`;
  assert.equal(await applyFix(recipe(', input_observer: \uFEFF'), 'field-without-effect'), recipe(''));
});
