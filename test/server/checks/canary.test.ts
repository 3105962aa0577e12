// The canary: what reaches the plan, and what is said of one that cannot measure, measures on fewer rows, or is none.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { checkIn, checkMarked, inFolder } from '../../support/recipe-fixture.js';
import { doubled } from '../../support/problem-page-folder.js';
import { tinyLlama, writeModel } from '../../support/model-fixture.js';

const model = doubled(tinyLlama({ intermediate: 192 }));
const phantom = { ...model, config: { ...model.config, model_type: 'phantom', architectures: ['PhantomForCausalLM'] } };
const perplexity = '    evaluate: {perplexity: {dataset: rows.jsonl, num_samples: 3, max_seq_length: 90}}\n';
const recipe = (canary: string, more = perplexity, folder = 'model'): string =>
  `\n    model: ${folder}\n    output: {dir: out}\n${more}    ${canary}\n    q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}}}\n  `;

test('the plan says behind which blocks and on which rows; without a key there is none', () =>
  inFolder({ model }, async (folder) => {
    const deep = writeModel(path.join(folder, 'deep'), doubled(tinyLlama({ intermediate: 192, blocks: 12 })));
    writeFileSync(path.join(deep, 'tokenizer.json'), '{}');
    const { plan, problems } = await checkIn(folder, recipe('canary: {max_mean_kld: "0.5"}'));
    assert.deepEqual(problems, []);
    const { dataset, ...rest } = plan!.canary!;
    assert.deepEqual(rest, { max_mean_kld: 0.5, every: 1 });
    // No more rows and tokens than the text is used with.
    assert.deepEqual([dataset.num_calibration_samples, dataset.max_seq_length], [3, 90]);
    for (const none of ['canary: {}', 'threads: 2']) assert.equal('canary' in ((await checkIn(folder, recipe(none))).plan ?? {}), false);
    assert.equal((await checkIn(folder, recipe('canary: {max_mean_kld: 1}', perplexity, 'deep'))).plan?.canary?.every, 2);
    const both =
      '    calibration: {dataset: rows.jsonl}\n    evaluate: {perplexity: {dataset: rows.jsonl}, kl_divergence: {dataset: rows.jsonl, num_samples: 2}}\n';
    const chosen = (await checkIn(folder, recipe('canary: {max_mean_kld: 1, every: 2}', both))).plan?.canary;
    assert.deepEqual([chosen?.every, chosen?.dataset.num_calibration_samples, chosen?.dataset.max_seq_length], [2, 2, 256]);
  }));

test('its cost stands in the estimate', () =>
  inFolder({ model }, async (folder) => {
    const estimateOf = async (canary: string) => (await checkIn(folder, recipe(canary))).plan!.estimate;
    const [without, twice, once] = [
      await estimateOf('threads: 2'),
      await estimateOf('canary: {max_mean_kld: 1}'),
      await estimateOf('canary: {max_mean_kld: 1, every: 2}'),
    ];
    // Two blocks: the model as it is, both blocks as written, and behind the first the block that is left; 2 and 2.5 passes.
    const ofPass = (once.operations - without.operations) / 2;
    assert.ok(ofPass > 0);
    assert.equal(twice.operations - without.operations, 2.5 * ofPass);
    assert.ok(once.peak_memory_bytes >= without.peak_memory_bytes);
  }));

test('rows of the calibration are read where the canary has no other, and only then', () =>
  inFolder({ model }, async (folder) => {
    const calibration = '    calibration: {dataset: rows.jsonl}\n';
    assert.deepEqual((await checkIn(folder, recipe('canary: {max_mean_kld: 1}', calibration))).problems, []);
    const { problems } = await checkIn(folder, recipe('canary: {max_mean_kld: 1}', perplexity + calibration));
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['calibration-without-effect'],
    );
    const missing = await checkIn(folder, recipe('canary: {max_mean_kld: 1}', '    calibration: {dataset: gone.jsonl}\n'));
    assert.deepEqual(
      missing.problems.map(({ severity, code }) => `${severity} ${code}`),
      ['error dataset-not-found'],
    );
  }));

test('a canary that never measures', async () => {
  const { problems } = await checkMarked(
    recipe(
      'canary: {max_mean_kld: 1, every: 3}\n    #                                ^ error canary-cannot-measure: the model has 2 blocks',
    ),
    { model },
  );
  assert.equal(problems[0]?.fixes?.[0]?.title, 'Remove every');
  await inFolder({ model }, async (folder) => {
    const [problem] = (await checkIn(folder, recipe('canary: {max_mean_kld: 1}', ''))).problems;
    assert.deepEqual([problem?.severity, problem?.code, problem?.fixes?.[0]?.title], ['error', 'canary-cannot-measure', 'Remove canary']);
    assert.match(problem?.message ?? '', /^The canary has no text to run: /);
  });
});

test('a model that cannot be run has no predictions to compare', () =>
  inFolder({ model: phantom }, async (folder) => {
    const { problems, plan } = await checkIn(folder, recipe('canary: {max_mean_kld: 1}', '    calibration: {dataset: rows.jsonl}\n'));
    assert.deepEqual(
      problems.map(({ severity, code, path: at }) => [severity, code, at]),
      [['error', 'architecture-not-runnable', ['canary']]],
    );
    assert.match(problems[0]?.message ?? '', /compares its predictions of the next token\. PhantomForCausalLM cannot be run here/);
    assert.equal(plan, null);
  }));

test('more rows than its text has, or than evaluate uses of it', async () => {
  const { problems } = await checkMarked(
    recipe(
      'canary: {max_mean_kld: 1, num_samples: 4}\n    #                                      ^ warning canary-too-few-rows: evaluate.perplexity uses 3 of its text',
    ),
    { model },
  );
  assert.equal(problems[0]?.fixes?.[0]?.title, 'Set num_samples: 3');
});

test('a limit that is not positive or no number, a field that is none', () =>
  inFolder({ model }, async (folder) => {
    const said = async (canary: string): Promise<string[]> =>
      (await checkIn(folder, recipe(canary))).problems.map(({ severity, code, message }) => `${severity} ${code} ${message}`);
    assert.match((await said('canary: {max_mean_kld: 0}')).join(), /^error value-too-small max_mean_kld is 0; it must be more than 0\.$/);
    assert.match((await said('canary: {max_mean_kld: low}')).join(), /^error wrong-type /);
    assert.match((await said('canary: {every: 1}')).join(), /^error field-missing .*max_mean_kld/);
    assert.match((await said('canary: {max_mean_kld: 1, rows: 4}')).join(), /^error unknown-field /);
    assert.match((await said('canary: {max_mean_kld: 1, num_samples: 0}')).join(), /^error value-too-small /);
    assert.match((await said('canari: {max_mean_kld: 1}')).join(), /^warning unknown-key .*did you mean canary/);
  }));
