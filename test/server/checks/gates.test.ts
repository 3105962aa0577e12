// Gates: what reaches the plan, what is said of those that cannot hold or cannot be judged.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkIn, checkMarked, inFolder } from '../../support/recipe-fixture.js';
import { doubled } from '../../support/problem-page-folder.js';
import { tinyLlama } from '../../support/model-fixture.js';

const model = doubled(tinyLlama({ intermediate: 192 }));
const recipe = (gates: string, evaluate = ''): string =>
  `\n    model: model\n    output: {dir: out}\n${evaluate}    ${gates}\n    q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}}}\n  `;
const both = '    evaluate: {perplexity: {dataset: rows.jsonl}, kl_divergence: {dataset: rows.jsonl}}\n';

test('gates stand in the plan, sizes in bytes', () =>
  inFolder({ model }, async (folder) => {
    const gates = 'gates: {max_size: 5MB, max_perplexity: "8.5", max_perplexity_change: -0.1, max_mean_kld: 0.05, min_same_top: 0.9}';
    const { plan, problems } = await checkIn(folder, recipe(gates, both));
    assert.deepEqual(problems, []);
    assert.deepEqual(plan?.gates, {
      max_size: 5_000_000,
      max_bits_per_weight: null,
      max_perplexity: 8.5,
      max_perplexity_change: -0.1,
      max_mean_kld: 0.05,
      min_same_top: 0.9,
    });
    for (const empty of ['gates: {}', 'threads: 2']) assert.equal((await checkIn(folder, recipe(empty))).plan?.gates, null);
  }));

test('a gate on a figure that nothing measures', async () => {
  const { problems } = await checkMarked(
    recipe(
      'gates: {max_perplexity: 8, min_same_top: 0.9}\n    #                          ^^^^^^^^^^^^ error gate-without-measure: no evaluate.kl_divergence',
      '    evaluate: {perplexity: {dataset: rows.jsonl}}\n',
    ),
    { model },
  );
  assert.deepEqual(
    problems.map(({ fixes }) => fixes?.[0]?.title),
    ['Remove min_same_top'],
  );
});

test('a gate on the size that the run would pass', async () => {
  await checkMarked(
    recipe(
      'gates: {max_bits_per_weight: 8}\n    #                            ^ error gate-cannot-hold: bits per weight of the quantized layers is 8.',
    ),
    { model },
  );
  await inFolder({ model }, async (folder) => {
    const { problems } = await checkIn(folder, recipe('gates: {max_size: 100B}'));
    assert.match(problems[0]?.message ?? '', /^max_size: the size of all tensors is .* kB, at most 100 B is wanted\. Use fewer bits/);
  });
});

test('a limit that is no number, a gate that is none', async () => {
  await inFolder({ model }, async (folder) => {
    const codes = async (gates: string): Promise<string[]> =>
      (await checkIn(folder, recipe(gates, both))).problems.map(({ severity, code }) => `${severity} ${code}`);
    assert.deepEqual(await codes('gates: {max_mean_kld: low}'), ['error wrong-type']);
    assert.deepEqual(await codes('gates: {min_same_top: 95}'), ['error value-out-of-range']);
    assert.deepEqual(await codes('gates: {max_kld: 0.1}'), ['error unknown-field']);
  });
});
