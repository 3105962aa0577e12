// What GPTQ tells of a Hessian that is not as it should be: each finding by its code, on matrices made for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GptqPlan, LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import { gptq } from '../../../worker/src/quantizers/gptq.js';
import { HessianFactors } from '../../../worker/src/quantizers/shared-hessian.js';
import { layerPlan } from '../../support/layer-plan.js';
import { withDevice } from '../../support/native-device.js';

const n = 8;
const rows = 4;

const plan = (dampening_frac: number): GptqPlan => ({
  name: 'gptq',
  modifier: 'GPTQModifier',
  recipe_path: ['a', 'b'],
  block_size: 128,
  dampening_frac,
  offload_hessians: false,
});

const layer = (dampening_frac: number): LayerPlan =>
  layerPlan({ rows, columns: n, weights: { num_bits: 4 }, quantizer: plan(dampening_frac) });

/** Quantizes a small weight with the Hessian of this rule, or with none. */
function problemsWith(rule: ((i: number, j: number) => number) | null, dampening_frac = 0.01): Promise<RunProblem[]> {
  return withDevice(async (device) => {
    using weight = device.fromFloats(
      [rows, n],
      Float32Array.from({ length: rows * n }, (_, i) => Math.sin(i + 1)),
    );
    using hessian =
      rule &&
      new HessianFactors(
        device.fromFloats(
          [n, n],
          Float32Array.from({ length: n * n }, (_, i) => rule(Math.floor(i / n), i % n)),
        ),
      );
    const result = await gptq.quantize({ layer: layer(dampening_frac), plan: plan(dampening_frac), weight, fused: [], hessian });
    for (const tensor of [result.q, result.scale, result.zeroPoint]) tensor.dispose();
    return result.problems;
  });
}

const codesOf = (problems: readonly RunProblem[]): string[] => problems.map(({ code }) => code);

test('a sound Hessian gives no finding', async () => {
  assert.deepEqual(await problemsWith((i, j) => (i === j ? 2 : 0.5)), []);
});

test('an indefinite Hessian that more damping rescues: gptq-damping-raised, with both numbers', async () => {
  const [problem, ...others] = await problemsWith((i, j) => (i === j ? 1 : 1.05));
  assert.deepEqual(others, []);
  assert.equal(problem?.code, 'gptq-damping-raised');
  assert.equal(problem.severity, 'warning');
  assert.deepEqual(problem.recipe_path, ['a', 'b']);
  assert.match(problem.message, /model\.layers\.0\.mlp\.up_proj could not be factored with dampening_frac 0\.01; 0\.1 was used/);
});

test('a Hessian that nothing rescues ends the run: hessian-not-positive-definite, with the layer', async () => {
  await assert.rejects(
    problemsWith((i, j) => (i === j ? 1 : 50)),
    (error) => {
      assert.ok(error instanceof RunFailureError, String(error));
      assert.equal(error.failure.code, 'hessian-not-positive-definite');
      assert.equal(error.failure.place, 'model.layers.0.mlp.up_proj');
      assert.match(error.failure.message, /Raise dampening_frac/);
      return true;
    },
  );
});

test('a nearly singular Hessian that single precision cannot factor: gptq-factored-in-double, same damping', async () => {
  // Off the diagonal the float below 1: the smallest eigenvalue is 2^-24.
  const problems = await problemsWith((i, j) => (i === j ? 1 : 1 - 2 ** -24), 0);
  assert.deepEqual(codesOf(problems), ['gptq-factored-in-double']);
});

test('inputs that are always zero: gptq-dead-columns; no input at all: gptq-without-inputs', async () => {
  const dead = await problemsWith((i, j) => (i === 3 || j === 3 ? 0 : i === j ? 2 : 0.5));
  assert.deepEqual(codesOf(dead), ['gptq-dead-columns']);
  assert.match(dead[0]?.message ?? '', /^1 of 8 input columns/);
  for (const [rule, reason] of [
    [() => 0, /all of its calibration inputs are zero/],
    [null, /no calibration row reached it/],
  ] as const) {
    const none = await problemsWith(rule);
    assert.deepEqual(codesOf(none), ['gptq-without-inputs']);
    assert.match(none[0]?.message ?? '', reason);
  }
});
