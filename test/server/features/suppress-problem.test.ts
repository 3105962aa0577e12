// The action that writes a suppression: above the line, and only for what can be silenced.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suppressions } from '../../../server/src/features/suppress-problem.js';
import { applyEdits, check } from '../../support/recipe-features.js';

const recipe = `model: ./
output: {dir: ../out}
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W8A8
      ignore: [none, nowhere]
`;

test('a comment above the line that asks for a reason, and silences once it has one', async () => {
  const { document, problems } = await check(recipe);
  const actions = suppressions(document, problems);
  assert.deepEqual(
    actions.map(({ title, preferred }) => [title, preferred]),
    [['Suppress ignore-matches-nothing here, with a reason', false]],
  );
  const text = applyEdits(document, actions[0]?.edits ?? []);
  assert.equal(text, recipe.replace('      ignore', '      # bitwright-ignore ignore-matches-nothing: \n      ignore'));
  const without = await check(text);
  assert.ok(without.problems.some(({ code, message }) => code === 'suppression-invalid' && message.includes('gives no reason')));
  assert.deepEqual(suppressions(without.document, without.problems).length, 1);
  assert.deepEqual((await check(text.replace('nothing: ', 'nothing: shared'))).problems, []);
});

test('none for errors', async () => {
  const { document, problems } = await check(recipe.replace('W8A8', 'W9').replace('[none, nowhere]', '[lm_head]'));
  assert.ok(problems.length > 0 && problems.every(({ severity }) => severity === 'error'));
  assert.deepEqual(suppressions(document, problems), []);
});
