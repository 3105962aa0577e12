// Inline suppression with a reason.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../../support/recipe-features.js';

const recipe = (line: string): string => `model: ./
output:
  dir: ../out
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W8A8
${line}
`;

const codes = async (line: string): Promise<string[]> => (await check(recipe(line))).problems.map(({ code }) => code);

test('a warning goes with a reason, on its line or the line above', async () => {
  assert.deepEqual(await codes('      ignore: [no_such_layer]'), ['ignore-matches-nothing']);
  assert.deepEqual(await codes('      ignore: [no_such_layer] # bitwright-ignore ignore-matches-nothing: shared with a larger model'), []);
  assert.deepEqual(await codes('      # bitwright-ignore ignore-matches-nothing: shared\n      ignore: [no_such_layer]'), []);
});

test('a suppression without code, reason or use says so', async () => {
  assert.deepEqual(await codes('      ignore: [no_such_layer] # bitwright-ignore ignore-matches-nothing'), [
    'ignore-matches-nothing',
    'suppression-invalid',
  ]);
  assert.deepEqual(await codes('      ignore: [lm_head] # bitwright-ignore'), ['suppression-invalid']);
  assert.deepEqual(await codes('      ignore: [lm_head] # bitwright-ignore ignore-matches-nothing: once'), ['suppression-unused']);
});

test('an error stays', async () => {
  const { problems, plan } = await check(recipe('      block_sise: 3 # bitwright-ignore unknown-field: no'));
  assert.deepEqual(
    problems.map(({ code, severity }) => [code, severity]),
    [
      ['unknown-field', 'error'],
      ['suppression-invalid', 'warning'],
    ],
  );
  assert.equal(plan, null);
});
