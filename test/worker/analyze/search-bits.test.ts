// A search over kept weights: what it measures of a mix is what a run with those bits measures of its file.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import type { BitSearch } from '../../../schemas/src/protocol/client-worker.js';
import { analyze } from '../../../worker/src/analyze/analyze.js';
import { searchBits, type SearchInput } from '../../../worker/src/analyze/search-bits.js';
import { failureCode } from '../../support/failures.js';
import { withDevice } from '../../support/native-device.js';
import { planIn } from '../../support/recipe-fixture.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, runToCompletion } from '../../support/worker-run.js';

const text = (n: number): string =>
  `{dataset: ${JSON.stringify(sharedPath('data', 'text', 'tinystories-validation.jsonl'))}, num_samples: ${n}, max_seq_length: 64}`;
const recipe = (num_bits: number, name: string, ignored = ''): string => `
model: ${JSON.stringify(sharedPath('data', 'models', 'stories260K'))}
output: {dir: ${name}}
device: cpu
evaluate: {kl_divergence: ${text(4)}}
q_stage:
  q_modifiers:
    QuantizationModifier:
      config_groups: {g: {targets: [Linear, Embedding], weights: {num_bits: ${num_bits}, strategy: channel}}}
      ignore: ["re:.*layers.[0-2].*"${ignored}]
`;

const watch = { onProgress: () => undefined, throwIfCancelled: () => undefined };

async function analyzed(dir: string, keepWeights = true, ignored = ''): Promise<QuantizationPlan> {
  const plan = await planIn(dir, recipe(4, 'out', ignored));
  const input = { plan, bits: [2, 4, 8], endToEnd: false, fisher: false, keepWeights, kind: 'cpu', version: 'test', watch } as const;
  await withDevice((device) => analyze({ ...input, device }), 2);
  return plan;
}

const search = (plan: QuantizationPlan, most: number, others: Partial<SearchInput> = {}): Promise<BitSearch> => {
  const criterion = { metric: 'mean_kld', most } as const;
  const input = { plan, criterion, evaluations: 6, metric: null, kind: 'cpu', version: 'test', watch, ...others } as const;
  return withDevice(async (device) => {
    const onProblem = ({ message }: RunProblem): void => assert.fail(message);
    return (await searchBits({ ...input, watch: { ...input.watch, onProblem }, device })).search;
  }, 2);
};

for (const [head, ignored] of [
  ['shares the quantized embedding', ''],
  ['keeps the embedding as it was', ', lm_head'],
] as const)
  test(`the measure of a mix is that of a run; the tied head ${head}`, { skip: skipWithoutShared }, () =>
    inTemporaryFolder(async (dir) => {
      const plan = await analyzed(dir, true, ignored);
      const { measured } = await search(plan, 1e9, { evaluations: 2 });
      for (const [at, num_bits] of [8, 2].entries()) {
        const { report } = await runToCompletion(await planIn(dir, recipe(num_bits, `uniform-${num_bits}`, ignored)));
        const [mix, whole] = [measured[at], report.quality?.kl_divergence];
        assert.ok(
          mix && whole && Math.abs(mix.mean_kld - whole.mean_kld) <= 1e-4 * whole.mean_kld,
          `${mix?.mean_kld}, not ${whole?.mean_kld}`,
        );
        const bytes = report.layers.reduce((sum, { bytes_after }) => sum + bytes_after, 0);
        assert.equal(mix.bytes, bytes);
      }
      const none = await search(plan, 1e-9);
      assert.deepEqual([none.measured.length, none.chosen], [1, null], 'when the most bits do not hold, fewer are not tried');
    }),
  );

test('the search ends at the smallest that holds, within its evaluations, and knows what was measured', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const plan = await analyzed(dir);
    const wide = await search(plan, 1e9);
    assert.deepEqual([wide.measured.length, wide.chosen, wide.exhausted], [2, 1, false]);
    const [most, least] = wide.measured.map(({ mean_kld }) => mean_kld);
    assert.ok(most !== undefined && least !== undefined && most < least);
    const limit = Math.sqrt(most * least);
    const few = await search(plan, limit, { evaluations: 3 });
    assert.deepEqual([few.measured.length, few.exhausted], [3, true]);
    const many = await search(plan, limit, { evaluations: 40 });
    assert.equal(many.exhausted, false);
    assert.ok(many.measured.length < 40 && many.chosen !== null);
    const chosen = many.measured[many.chosen];
    assert.ok(chosen?.holds && chosen.mean_kld <= limit);
    for (const one of many.measured) if (one.holds) assert.ok(one.bytes >= chosen.bytes);
    assert.deepEqual(many.measured.slice(0, 3), few.measured);
    const journal = path.join(dir, 'out.analysis', 'journal.jsonl');
    const before = readFileSync(journal, 'utf8');
    assert.deepEqual(await search(plan, limit, { evaluations: 40 }), many);
    assert.equal(readFileSync(journal, 'utf8'), before, 'the second search measured nothing');
    const byPerplexity = await search(plan, 0.5, { criterion: { metric: 'perplexity_change', most: 0.5 } });
    assert.ok(byPerplexity.measured.every(({ holds, perplexity_change }) => holds === perplexity_change <= 0.5));
  }),
);

test('what cannot be searched is refused with what to run', { skip: skipWithoutShared }, () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, recipe(4, 'out'));
    await assert.rejects(search(plan, 1), failureCode('analysis-missing', /absent, or of another recipe.*analyze with --keep-weights/));
    await analyzed(dir, false);
    await assert.rejects(search(plan, 1), failureCode('analysis-missing', /was not kept/));
    await analyzed(dir);
    rmSync(path.join(dir, 'out.analysis', 'weights', '0001-4bit.safetensors'));
    await assert.rejects(search(plan, 1), failureCode('analysis-missing', /with 4 bits was not kept/));
    // What is gone is quantized again.
    await analyzed(dir);
    await search(plan, 1);
    await assert.rejects(
      search(plan, 1, { metric: 'hessian_loss' }),
      failureCode('analysis-missing', /bits has no hessian_loss; losses that every layer has: weight_squared_error/),
    );
    await assert.rejects(search({ ...plan, evaluate: null }, 1), failureCode('analysis-impossible', /the recipe has neither/));
  }),
);
