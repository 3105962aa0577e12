// Sizes of VPTQModifier: what contradicts itself, what layers cannot have, codebooks that save nothing; and sizes that are fine.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Problem } from '../../../schemas/src/problem.js';
import type { CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const row = `${JSON.stringify({ text: 'once upon a time' })}\n`;
const checked = (fields: string): Promise<CheckedRecipe> =>
  inFolder({ files: { 'data.jsonl': row.repeat(400) } }, (dir) =>
    checkIn(
      dir,
      `model: model\ncalibration: {dataset: data.jsonl, num_calibration_samples: 400}\noutput: {dir: out}\nq_stage:\n  q_modifiers:\n    VPTQModifier: {ignore: [lm_head], ${fields}}\n`,
    ),
  );
const found = async (fields: string): Promise<Problem[]> =>
  (await checked(fields)).problems.filter(({ code }) => code === 'vectors-do-not-fit');

for (const [fields, severity, at, part] of [
  ['num_centroids: 16, vector_len: 2, num_res_centroids: 256', 'error', 'num_res_centroids', /second index/],
  ['num_centroids: 16, vector_len: 2, outlier_size: 2, enable_perm: false', 'error', 'enable_perm', /the first 2 would be taken/],
  ['num_centroids: 16, vector_len: 2, outlier_size: 100000', 'error', 'outlier_size', /leave none beside outlier_size 100000/],
  ['num_centroids: 16, vector_len: 2, group_num: 7', 'error', 'group_num', /group_num 7 does not divide the columns/],
  ['num_centroids: 65536, vector_len: 16', 'warning', 'num_centroids', /takes as much room as the weights/],
] as const)
  test(`${fields} is a ${severity} at ${at}`, async () => {
    const problems = await found(fields);
    assert.deepEqual(
      problems.map((problem) => [problem.severity, problem.path.at(-1), problem.at]),
      [[severity, at, 'value']],
    );
    assert.match(problems[0]?.message ?? '', part);
  });

test('the order that outliers need is one fix away', async () => {
  const [problem] = await found('num_centroids: 16, vector_len: 2, outlier_size: 2, enable_perm: false');
  assert.deepEqual(
    problem?.fixes?.map(({ title, preferred }) => [title, preferred]),
    [['Remove enable_perm', true]],
  );
});

test('sizes that fit have a plan with the bits that they take, and no problem', async () => {
  const { problems, plan } = await checked('num_centroids: 16, vector_len: 2, outlier_size: 2, outlier_num_centroids: 16');
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  assert.deepEqual(await found('num_centroids: 16, vector_len: 2, num_res_centroids: 16, group_num: 2'), []);
  const weights = plan?.layers.find(({ role }) => role === 'down_proj')?.scheme?.weights;
  assert.equal(weights?.num_bits, 2);
  assert.equal(weights?.vectors?.enable_perm, true);
  assert.equal(weights?.vectors?.shape, undefined);
});

test('vLLM has no loader for such files', async () => {
  const { problems } = await inFolder({ files: { 'data.jsonl': row.repeat(400) } }, (dir) =>
    checkIn(
      dir,
      'model: model\ncalibration: {dataset: data.jsonl, num_calibration_samples: 400}\noutput: {dir: out, runtime: vllm}\nq_stage:\n  q_modifiers:\n    VPTQModifier: {vector_len: 2, num_centroids: 16, ignore: [lm_head]}\n',
    ),
  );
  const [problem] = problems.filter(({ code }) => code === 'runtime-cannot-load');
  assert.equal(problem?.severity, 'error');
  assert.match(problem?.message ?? '', /no loader for files of vptq/);
});
