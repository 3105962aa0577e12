// Observers on the recipe line: those without memory of earlier rows, and what each of them is mended to.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const checked = (observer: string, place: 'weights' | 'inputs' = 'inputs'): Promise<CheckedRecipe> => {
  const [weights, inputs] =
    place === 'weights'
      ? [`, observer: ${observer}`, '']
      : ['', `, input_activations: {num_bits: 8, strategy: tensor, observer: ${observer}}`];
  const group = `{targets: [Linear], weights: {num_bits: 8, strategy: channel${weights}}${inputs}}`;
  const text = `model: model
calibration: {dataset: rows.jsonl}
output: {dir: out}
q_stage:
  q_modifiers:
    QuantizationModifier: {ignore: [lm_head], config_groups: {g: ${group}}}
`;
  return inFolder({}, (dir) => checkIn(dir, text));
};

for (const [observer, instead] of [
  ['memoryless_minmax', 'static_minmax'],
  ['memoryless_mse', 'mse'],
  ['nvfp4_expanded_mse', 'mse'],
  ['imatrix_mse', 'mse'],
] as const)
  test(`calibrated inputs by ${observer} keep the last batch, ${instead} does not`, async () => {
    const { problems, plan } = await checked(observer);
    assert.ok(plan);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['static-activations-last-batch'],
    );
    assert.match(problems[0]?.message ?? '', new RegExp(`use the observer ${observer}, .* Set observer: ${instead}, which`));
    assert.equal(problems[0]?.fixes?.[0]?.title, `Set observer: ${instead}`);
    assert.deepEqual((await checked(instead)).problems, []);
  });

test('weights by any observer that searches have a plan and no problem', async () => {
  for (const observer of ['mse', 'nvfp4_expanded_mse', 'imatrix_mse']) {
    const { problems, plan } = await checked(observer, 'weights');
    // Importance needs rows, the others do not.
    const wanted = observer === 'imatrix_mse' ? [] : ['calibration-without-effect'];
    assert.deepEqual(
      problems.map(({ code }) => code),
      wanted,
      observer,
    );
    assert.equal(plan?.calibration === null, observer !== 'imatrix_mse');
  }
});

test("percentile, histogram and entropy are said to be Bitwright's own and run; for weights they are unknown", async () => {
  for (const observer of ['percentile', 'histogram', 'entropy']) {
    const { problems, plan } = await checked(observer);
    assert.deepEqual(
      problems.map(({ code, severity }) => [code, severity]),
      [['unknown-observer', 'information']],
      observer,
    );
    assert.match(
      problems[0]?.message ?? '',
      new RegExp(`^${observer} is an observer of Bitwright's own .* llm-compressor does not have it`),
    );
    assert.ok(plan);
    const inWeights = await checked(observer, 'weights');
    assert.ok(inWeights.problems.some(({ code, severity }) => code === 'unknown-observer' && severity === 'error'));
    assert.equal(inWeights.plan, null);
  }
});
