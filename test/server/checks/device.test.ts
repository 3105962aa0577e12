// The key device: the forms that are taken and reach the plan, and what is said of others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkIn, checkMarked, inFolder } from '../../support/recipe-fixture.js';
import { doubled } from '../../support/problem-page-folder.js';
import { tinyLlama } from '../../support/model-fixture.js';

const model = doubled(tinyLlama({ intermediate: 192 }));
const recipe = (device: string): string =>
  `model: model\ndevice: ${device}\noutput: {dir: out}\nq_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}}}\n`;

for (const device of ['auto', 'cpu', 'cuda', 'cuda:0', 'cuda:1,0', "'cuda:3'"])
  test(`device: ${device} is taken and stands in the plan`, () =>
    inFolder({ model }, async (folder) => {
      const { plan, problems } = await checkIn(folder, recipe(device));
      assert.deepEqual(problems, []);
      assert.equal(plan?.device, device.replaceAll("'", ''));
    }));

for (const [wrong, words, fix] of [
  ['gpu', 'did you mean cuda', 'Change to cuda'],
  ['CUDA', 'did you mean cuda', 'Change to cuda'],
  ['cpuu', 'did you mean cpu', 'Change to cpu'],
  ['cuda:0, 1', 'which is none of auto, cpu, cuda. One CUDA device is cuda:0, several are cuda:0,1, cuda is all of them.', undefined],
  ['tpu:0', 'which is none of auto, cpu, cuda', undefined],
] as const)
  test(`device: ${wrong} is none`, async () => {
    const marks = '^'.repeat(wrong.length);
    const { problems } = await checkMarked(
      `\n    model: model\n    device: ${wrong}\n    #       ${marks} error unknown-value: ${words}\n    output: {dir: out}\n    q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}}}\n  `,
      { model },
    );
    assert.equal(problems.find(({ code }) => code === 'unknown-value')?.fixes?.[0]?.title, fix);
  });
