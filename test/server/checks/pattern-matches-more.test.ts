// Patterns whose number goes on in the next digit: layer 1 and, with it, 10 to 19; and those that mean it or cannot.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyLlama } from '../../support/model-fixture.js';
import { checkIn, checkMarked, inFolder } from '../../support/recipe-fixture.js';

const model = tinyLlama({ blocks: 12 });
const recipe = (entry: string): string =>
  `model: model\noutput: {dir: out}\nq_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A8, ignore: [lm_head, ${JSON.stringify(entry)}]}}}\n`;

test('where it stands, what it matches beside what is meant, and how to write it', async () => {
  const { problems } = await checkMarked(
    `
    model: model
    output: {dir: out}
    q_stage:
      q_modifiers:
        QuantizationModifier:
          scheme: W8A8
          ignore: [lm_head, "re:model.layers.1"]
    #                       ^^^^^^^^^^^^^^^^^^^ warning pattern-matches-more: re:model.layers.1 also matches 14 modules beside the 7 with the number 1: model.layers.10.mlp.down_proj, model.layers.10.mlp.gate_proj and 12 more. A number in a pattern goes on in the next digit, as the end of a pattern is open, so that these are spared too. Write re:model.layers.1\\.
  `,
    { model },
  );
  const edit = problems[0]?.fixes?.[0]?.edits[0];
  assert.equal(edit?.kind === 'replace-value' ? edit.text : null, "'re:model.layers.1\\.'");
});

test('the pattern that is proposed matches what is meant, and has no problem', () =>
  inFolder({ model }, async (dir) => {
    for (const [entry, meant] of [
      ['re:model.layers.1', 're:model.layers.1\\.'],
      ['re:.*layers\\.1', 're:.*layers\\.1\\.'],
      ['re:.*layers.1.*', 're:.*layers.1\\..*'],
      ['re:.*layers.1.*o_proj$', 're:.*layers.1\\..*o_proj$'],
      ['re:.*layers.1.', 're:.*layers.1\\.'],
      ['re:.*layers.(1|2)', 're:.*layers.(1|2)\\.'],
      ['re:.*layers\\.(?:0|1).*mlp', 're:.*layers\\.(?:0|1)\\..*mlp'],
    ] as const) {
      const found = (await checkIn(dir, recipe(entry))).problems;
      assert.deepEqual(
        found.map(({ code, severity }) => `${severity} ${code}`),
        ['warning pattern-matches-more'],
        entry,
      );
      assert.equal(found[0]?.fixes?.[0]?.title, `Change to ${meant}`);
      assert.deepEqual((await checkIn(dir, recipe(meant))).problems, [], meant);
    }
  }));

test('targets too', () =>
  inFolder({ model }, async (dir) => {
    const text =
      'model: model\noutput: {dir: out}\nq_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A8, targets: ["re:.*layers.1"]}}}\n';
    const [problem, ...others] = (await checkIn(dir, text)).problems;
    assert.deepEqual([others, problem?.code], [[], 'pattern-matches-more']);
    assert.match(problem?.message ?? '', /so that these are targets too\./);
  }));

test('silent where a number ends, where digits are meant, and where the model has no more layers', () =>
  inFolder({ model }, async (dir) => {
    for (const entry of [
      're:model.layers.1\\.',
      're:model.layers.1.mlp.down_proj',
      're:model.layers.1.self_attn',
      're:.*layers.2',
      're:.*layers.11',
      're:.*layers.[0-3]',
      're:.*layers.1[01]',
      're:.*layers.1[01]?',
      're:.*layers.1\\d?',
      're:.*layers.1\\d*\\.mlp',
      're:.*layers.1(?!\\d)',
      're:.*layers.1\\b',
      're:.*layers.(1|1[0-9])',
      're:.*layers.(1|10|11)',
      're:(?!.*layers.1).*q_proj',
      're:.*q_proj',
      'model.layers.1.mlp.down_proj',
      'Embedding',
    ]) {
      const { problems } = await checkIn(dir, recipe(entry));
      assert.deepEqual(
        problems.filter(({ code }) => code === 'pattern-matches-more'),
        [],
        entry,
      );
    }
  }));

test('silent in a model of six layers, and without a model', async () => {
  for (const setting of [{ model: tinyLlama({ blocks: 6 }) }, { model: null }])
    await inFolder(setting, async (dir) => {
      const { problems } = await checkIn(dir, recipe('re:model.layers.1'));
      assert.ok(!problems.some(({ code }) => code === 'pattern-matches-more'));
    });
});
