// What pruners tell of layers that break their assumptions: each finding by its code, on matrices made for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PrunerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import type { PruningOf } from '../../../worker/src/jobs/layer-jobs.js';
import { pruneLayer } from '../../../worker/src/jobs/prune-layer.js';
import { pruningMetrics, sparsityProblems } from '../../../worker/src/jobs/sparsity.js';
import { HessianFactors } from '../../../worker/src/quantizers/shared-hessian.js';
import { layerPlan } from '../../support/layer-plan.js';
import { withDevice } from '../../support/native-device.js';

const n = 8;
const rows = 4;
const at = { recipe_path: ['a', 'b'], layers: [] };
const layer = layerPlan({ rows, columns: n });

const sparsegpt = (more: Partial<Extract<PrunerPlan, { name: 'sparsegpt' }>> = {}): PrunerPlan => ({
  ...at,
  name: 'sparsegpt',
  modifier: 'SparseGPTModifier',
  mask_structure: null,
  block_size: 128,
  dampening_frac: 0.01,
  preserve_sparsity_mask: false,
  owl: null,
  ...more,
});
const wanda: PrunerPlan = { ...at, name: 'wanda', modifier: 'WandaPruningModifier', mask_structure: null, owl: null };
const magnitude: PrunerPlan = { ...at, name: 'magnitude', modifier: 'MagnitudePruningModifier' };
const constant: PrunerPlan = { ...at, name: 'constant', modifier: 'ConstantPruningModifier' };

type Rule = (i: number, j: number) => number;
const sound: Rule = (i, j) => (i === j ? 2 : 0.5);

interface Outcome {
  problems: RunProblem[];
  sparsity: number;
  weight: Float32Array;
}

/** Prunes a small weight by these pruners, with the Hessian of this rule, or with none. */
function pruned(
  plans: readonly PrunerPlan[],
  rule: Rule | null = sound,
  sparsity = 0.5,
  weightOf: (row: number, column: number) => number = (row, column) => Math.sin(row * n + column + 1),
): Promise<Outcome> {
  return withDevice(async (device) => {
    using weight = device.fromFloats(
      [rows, n],
      Float32Array.from({ length: rows * n }, (_, i) => weightOf(Math.floor(i / n), i % n)),
    );
    using hessian =
      rule &&
      new HessianFactors(
        device.fromFloats(
          [n, n],
          Float32Array.from({ length: n * n }, (_, i) => rule(Math.floor(i / n), i % n)),
        ),
      );
    const works: PruningOf[] = plans.map((plan) => ({ plan, layer: layer.name, sparsity }));
    using own = await pruneLayer(works, { layer, weight, hessian });
    assert.ok(own);
    const metrics = await pruningMetrics(works, weight, own.weight);
    return {
      problems: [...own.problems, ...sparsityProblems(layer, works, metrics)],
      sparsity: metrics.sparsity,
      weight: await own.weight.readFloats(),
    };
  });
}

const codesOf = ({ problems }: Outcome): string[] => problems.map(({ code }) => code);

test('a sound layer gives no finding, and half of it is zero', async () => {
  for (const plan of [sparsegpt(), sparsegpt({ mask_structure: { n: 2, m: 4 } }), wanda, magnitude]) {
    const outcome = await pruned([plan]);
    assert.deepEqual(codesOf(outcome), [], plan.name);
    assert.equal(outcome.sparsity, 0.5, plan.name);
  }
});

test('SparseGPT and a Hessian that cannot be factored as it is: sparsegpt-damping-raised, with both numbers; sparsegpt-factored-in-double', async () => {
  const { problems } = await pruned([sparsegpt()], (i, j) => (i === j ? 1 : 1.05));
  assert.deepEqual(
    problems.map(({ code, severity }) => [code, severity]),
    [['sparsegpt-damping-raised', 'warning']],
  );
  assert.deepEqual(problems[0]?.recipe_path, ['a', 'b']);
  assert.match(problems[0]?.message ?? '', /model\.layers\.0\.mlp\.up_proj could not be factored with dampening_frac 0\.01; 0\.1 was used/);
  const nearly = await pruned([sparsegpt({ dampening_frac: 0 })], (i, j) => (i === j ? 1 : 1 - 2 ** -24));
  assert.deepEqual(codesOf(nearly), ['sparsegpt-factored-in-double']);
});

test('one token: a Hessian of rank one is damped and pruned; nothing rescues an indefinite one, and the run ends with the layer', async () => {
  const one = await pruned([sparsegpt()], (i, j) => (i + 1) * (j + 1));
  assert.equal(one.sparsity, 0.5);
  assert.ok(one.weight.every(Number.isFinite));
  await assert.rejects(
    pruned([sparsegpt()], (i, j) => (i === j ? 1 : 50)),
    (error) =>
      error instanceof RunFailureError && error.failure.code === 'hessian-not-positive-definite' && error.failure.place === layer.name,
  );
});

test('inputs that are always zero: sparsegpt-dead-columns; no input at all: pruned-without-inputs, by magnitude', async () => {
  const dead = await pruned([sparsegpt()], (i, j) => (i === 3 || j === 3 ? 0 : sound(i, j)));
  assert.deepEqual(codesOf(dead), ['sparsegpt-dead-columns']);
  for (let row = 0; row < rows; row += 1) assert.equal(dead.weight[row * n + 3], 0);
  const bySize = await pruned([magnitude]);
  for (const plan of [sparsegpt(), wanda])
    for (const [rule, reason] of [
      [() => 0, /all of its calibration inputs are zero/],
      [null, /no calibration row reached it/],
    ] as const) {
      const none = await pruned([plan], rule);
      assert.deepEqual(codesOf(none), ['pruned-without-inputs'], plan.name);
      assert.match(none.problems[0]?.message ?? '', reason);
      assert.deepEqual(none.weight, bySize.weight);
    }
  const grouped = await pruned([sparsegpt({ mask_structure: { n: 2, m: 4 } })], null);
  assert.equal(grouped.sparsity, 0.5);
});

test('what is not finite in the inputs is told with its column', async () => {
  await assert.rejects(
    pruned([wanda], (i, j) => (i === 2 && j === 2 ? Infinity : sound(i, j))),
    /the importance of column 2/,
  );
});

test('rows that become zero throughout: rows-all-zero; rows that were so are not told', async () => {
  const small = (row: number, column: number): number => (row === 1 ? 1e-3 : 1) * Math.cos(row * n + column + 1);
  const outcome = await pruned([magnitude], null, 0.5, small);
  assert.deepEqual(codesOf(outcome), ['rows-all-zero']);
  assert.match(outcome.problems[0]?.message ?? '', /^1 of 4 rows of model\.layers\.0\.mlp\.up_proj have become zero/);
  const empty = await pruned([magnitude], null, 0.5, (row, column) => (row === 1 ? 0 : Math.cos(row * n + column + 1)));
  assert.deepEqual(codesOf(empty), []);
});

test('ConstantPruningModifier keeps zeros, and says so where there are none: no-zeros-to-keep', async () => {
  const half = (row: number, column: number): number => ((row + column) % 2 === 0 ? 0 : column === 1 ? 1e-9 : 0.5);
  const kept = await pruned([constant], null, 0, half);
  assert.deepEqual(codesOf(kept), []);
  assert.equal(kept.weight[1], 0, 'what is next to nothing is zero');
  const none = await pruned([constant], null, 0);
  assert.deepEqual(codesOf(none), ['no-zeros-to-keep']);
});

test('zeros beyond what is asked: sparsity-above-asked where they are kept', async () => {
  const half = (row: number, column: number): number => ((row + column) % 2 === 0 ? 0 : Math.cos(row * n + column));
  const above = await pruned([sparsegpt({ preserve_sparsity_mask: true })], sound, 0.25, half);
  assert.deepEqual(codesOf(above), ['sparsity-above-asked']);
  assert.equal(above.sparsity, 0.5);
});

test('sparsity-not-reached: fewer zeros in the file than were asked for', () => {
  const works: PruningOf[] = [{ plan: wanda, layer: layer.name, sparsity: 0.5 }];
  const metrics = {
    pruners: ['wanda'],
    mask_structure: 'unstructured',
    asked: 0.5,
    sparsity: 0.1,
    sparsity_before: 0,
    zero_rows: 0,
    zero_rows_before: 0,
  };
  const [problem, ...others] = sparsityProblems(layer, works, metrics);
  assert.deepEqual(others, []);
  assert.equal(problem?.code, 'sparsity-not-reached');
  assert.match(problem.message, /^10\.0 % of model\.layers\.0\.mlp\.up_proj are zero, and 50\.0 % were asked for/);
  assert.deepEqual(sparsityProblems(layer, works, { ...metrics, sparsity: 0.5 - 1 / n }), [], 'a whole weight per row is the step');
});
