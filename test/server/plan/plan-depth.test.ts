// The rows of the error through depth: eight where they cost little beside the run, fewer where they would not, none without a text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DatasetPlan, LayerPlan } from '../../../schemas/src/generated/plan.js';
import { depthOperations } from '../../../schemas/src/depth-operations.js';
import { estimateOf } from '../../../server/src/plan/build-plan.js';
import { depthPlan } from '../../../server/src/plan/plan-depth.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { doubled } from '../../support/problem-page-folder.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const text = (dataset: string, more: Partial<DatasetPlan> = {}): DatasetPlan => ({
  dataset,
  text_column: 'text',
  num_calibration_samples: 512,
  max_seq_length: 2048,
  shuffle: false,
  seed: 42,
  sha256: null,
  bytes: 1e9,
  ...more,
});
/** So many weights in all. */
const layersOf = (weights: number): LayerPlan[] => [{ rows: weights / 1000, columns: 1000 } as LayerPlan];
const sizeOf = (plan: DatasetPlan | null): (number | null)[] => [plan?.num_calibration_samples ?? null, plan?.max_seq_length ?? null];

test('a large model with a usual calibration, and a small model with any, are measured on eight rows', () => {
  const usual = { calibration: text('c'), evaluate: null };
  assert.deepEqual(sizeOf(depthPlan(usual, layersOf(7e9), 2 * 512 * 2048 * 7e9)), [8, 256]);
  assert.deepEqual(sizeOf(depthPlan(usual, layersOf(1e6), 1e9)), [8, 256]);
});

test('where eight rows were more than 3 % of the run there are fewer of them, and at last shorter ones', () => {
  const weights = 7e9;
  for (const [n_tokens, size] of [
    [128 * 512, [2, 256]],
    [64 * 512, [1, 256]],
    [32 * 512, [1, 163]],
    [2048, [1, 64]],
  ] as const) {
    const operations = 2 * n_tokens * weights;
    const plan = depthPlan({ calibration: text('c'), evaluate: null }, layersOf(weights), operations);
    assert.deepEqual(sizeOf(plan), size, `${n_tokens} tokens`);
    const share = (6 * (plan?.num_calibration_samples ?? 0) * (plan?.max_seq_length ?? 0) * weights) / operations;
    assert.ok(share <= 0.03 || size[1] === 64, `${share}`);
  }
});

test('no more rows and tokens than the text is used with; the text of the calibration first', () => {
  const evaluate = {
    perplexity: text('p'),
    kl_divergence: text('k', { num_calibration_samples: 3, max_seq_length: 50 }),
    multiple_choice: null,
    generation: null,
  };
  const own = (plan: DatasetPlan | null): unknown[] => [plan?.dataset, ...sizeOf(plan)];
  assert.deepEqual(own(depthPlan({ calibration: text('c'), evaluate }, layersOf(1e6), 0)), ['c', 8, 256]);
  assert.deepEqual(own(depthPlan({ calibration: null, evaluate }, layersOf(1e6), 0)), ['k', 3, 50]);
  assert.deepEqual(own(depthPlan({ calibration: null, evaluate: { ...evaluate, kl_divergence: null } }, layersOf(1e6), 0)), ['p', 8, 256]);
  assert.equal(depthPlan({ calibration: null, evaluate: null }, layersOf(1e6), 0), null);
});

test('the estimate of a plan holds it, beside all the rest', () =>
  inFolder({ model: doubled(tinyLlama({ intermediate: 192 })) }, async (folder) => {
    const text = (evaluate: string): string =>
      `model: model\noutput: {dir: out}\n${evaluate}q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}}}\n`;
    const { plan, resolution, problems } = await checkIn(
      folder,
      text('evaluate: {perplexity: {dataset: rows.jsonl, num_samples: 3, max_seq_length: 90}}\n'),
    );
    assert.ok(plan, JSON.stringify(problems));
    assert.deepEqual(sizeOf(plan.depth ?? null), [3, 90]);
    // Six passes of three rows through every weight.
    const weights = plan.layers.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
    assert.equal(depthOperations(plan), 6 * 3 * 90 * weights);
    assert.equal(plan.estimate.operations, estimateOf(resolution).operations + depthOperations(plan));
    const without = await checkIn(folder, text(''));
    assert.deepEqual([without.plan?.depth, without.plan?.estimate.operations], [undefined, 0]);
  }));
