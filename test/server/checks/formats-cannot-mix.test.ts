// bitsandbytes' storage beside another: one problem, and none where only one of them gets layers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const checked = (modifiers: string): Promise<CheckedRecipe> =>
  inFolder({}, (dir) => checkIn(dir, `model: model\noutput: {dir: out}\nq_stage:\n  q_modifiers:\n${modifiers}`));

test('both in one recipe', async () => {
  const { problems, plan } = await checked(
    "    BitsAndBytesModifier: {targets: ['re:.*mlp.*']}\n    QuantizationModifier: {targets: ['re:.*self_attn.*'], scheme: W8A8}\n",
  );
  assert.deepEqual(
    problems.map(({ code, severity }) => [code, severity]),
    [['formats-cannot-mix', 'error']],
  );
  assert.match(problems[0]?.message ?? '', /^BitsAndBytesModifier stores layers as bitsandbytes does, and QuantizationModifier as/);
  assert.equal(plan, null);
});

test('alone it has a plan and no problem, its blocks may cut rows', async () => {
  const { problems, plan } = await checked('    BitsAndBytesModifier: {ignore: [lm_head]}\n');
  assert.deepEqual(problems, []);
  const scheme = plan?.layers.find(({ role }) => role === 'down_proj')?.scheme;
  assert.equal(scheme?.format, 'bitsandbytes');
  assert.equal(scheme?.weights?.codebook, 'nf4');
});

test("a modifier that gets no layer is in nobody's way", async () => {
  const { problems } = await checked(
    "    QuantizationModifier: {targets: ['re:.*mlp.*'], scheme: W8A8}\n    BitsAndBytesModifier: {ignore: [lm_head]}\n",
  );
  assert.ok(!problems.some(({ code }) => code === 'formats-cannot-mix'), JSON.stringify(problems));
});
