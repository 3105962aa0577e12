// What Beacon, COMQ, GPFQ and Qronos tell of a Hessian that breaks their assumptions: each finding by its code, on matrices made for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BeaconPlan, ComqPlan, GpfqPlan, LayerPlan, QronosPlan, QuantizerPlan } from '../../../schemas/src/generated/plan.js';
import { RunFailureError } from '../../../schemas/src/run-failure.js';
import { quantizers, type GridPlan } from '../../../worker/src/algorithms.js';
import type { QuantizedWeight, Quantizer } from '../../../worker/src/quantizers/quantizer.js';
import { disposeQuantized } from '../../../worker/src/quantizers/quantizer.js';
import { HessianFactors } from '../../../worker/src/quantizers/shared-hessian.js';
import { layerPlan } from '../../support/layer-plan.js';
import { withDevice } from '../../support/native-device.js';

const n = 8;
const rows = 4;
const at = { recipe_path: ['a', 'b'] };
const beacon: BeaconPlan = {
  ...at,
  name: 'beacon',
  modifier: 'BeaconModifier',
  n_sweeps: 4,
  error_correction: false,
  correction_strength: 1,
  centering: true,
  second_start: true,
  dampening_frac: 0.01,
};
const comq: ComqPlan = { ...at, name: 'comq', modifier: 'COMQModifier', n_iters: 2 };
const gpfq: GpfqPlan = { ...at, name: 'gpfq', modifier: 'GPFQModifier' };
const qronos: QronosPlan = { ...at, name: 'qronos', modifier: 'QronosModifier', block_size: 128, dampening_frac: 0.01 };

const layer = (quantizer: QuantizerPlan): LayerPlan => layerPlan({ rows, columns: n, weights: { num_bits: 4 }, quantizer });

type Rule = (i: number, j: number) => number;

/** Quantizes a small weight, its second row all zero and its third constant, with the Hessian of this rule, or with none. */
function solved<T>(
  plan: QuantizerPlan,
  rule: Rule | null,
  see: (result: QuantizedWeight) => Promise<T> | T,
  cross: Rule | null = null,
): Promise<T> {
  return withDevice(async (device) => {
    const matrix = (of: Rule) =>
      device.fromFloats(
        [n, n],
        Float32Array.from({ length: n * n }, (_, i) => of(Math.floor(i / n), i % n)),
      );
    const value = (i: number): number => (Math.floor(i / n) === 1 ? 0 : Math.floor(i / n) === 2 ? 0.5 : Math.sin(i + 1));
    using weight = device.fromFloats(
      [rows, n],
      Float32Array.from({ length: rows * n }, (_, i) => value(i)),
    );
    using hessian = rule && new HessianFactors(matrix(rule), cross && matrix(cross));
    const result = await (quantizers[plan.name as GridPlan['name']] as Quantizer).quantize({
      layer: layer(plan),
      plan,
      weight,
      fused: [],
      hessian,
    });
    try {
      return await see(result);
    } finally {
      disposeQuantized(result);
    }
  });
}

const codes = ({ problems }: QuantizedWeight): string[] => problems.map(({ code }) => code);
const messages = ({ problems }: QuantizedWeight): string => problems.map(({ message }) => message).join(' ');
const sound: Rule = (i, j) => (i === j ? 2 : 0.5);

for (const plan of [beacon, comq, gpfq, qronos]) {
  test(`${plan.modifier}: a sound Hessian gives no finding, and a row of zeros stays zero`, () =>
    solved(plan, sound, async (result) => {
      assert.deepEqual(codes(result), []);
      const q = new Int8Array((await result.q.read()).slice().buffer);
      assert.deepEqual([...q.slice(n, 2 * n)], new Array(n).fill(0));
      assert.ok(
        q.slice(2 * n, 3 * n).every((code) => code > 0),
        'the constant row keeps its sign',
      );
    }));

  test(`${plan.modifier}: one token, whose Hessian has rank 1, is solved without a word of damping that was not raised`, () =>
    solved(
      plan,
      (i, j) => (1 + i) * (1 + j),
      async (result) => {
        assert.ok((await result.scale.readFloats()).every((scale) => Number.isFinite(scale) && scale > 0));
        assert.ok(
          codes(result).every((code) => code === 'solver-factored-in-double'),
          codes(result).join(', '),
        );
      },
    ));

  test(`${plan.modifier}: inputs that are always zero: solver-dead-columns; no input at all: solver-without-inputs`, async () => {
    const dead: Rule = (i, j) => (i === 3 || j === 3 ? 0 : sound(i, j));
    await solved(plan, dead, (result) => {
      assert.deepEqual(codes(result), ['solver-dead-columns']);
      assert.match(messages(result), /^1 of 8 input columns of model\.layers\.0\.mlp\.up_proj/);
    });
    for (const [rule, reason] of [
      [(): number => 0, /all of its calibration inputs are zero/],
      [null, /no calibration row reached it/],
    ] as const)
      await solved(plan, rule, (result) => {
        assert.deepEqual(codes(result), ['solver-without-inputs']);
        assert.match(messages(result), reason);
      });
  });

  test(`${plan.modifier}: infinity in the Hessian is refused by the operation that meets it`, () =>
    assert.rejects(
      solved(
        plan,
        (i, j) => (i === 2 && j === 2 ? Infinity : sound(i, j)),
        async ({ q }) => q.read(),
      ),
      /diag\(H\) at column 2|not finite/,
    ));
}

for (const plan of [beacon, qronos]) {
  test(`${plan.modifier}: an indefinite Hessian that more damping rescues: solver-damping-raised, with both numbers`, () =>
    solved(
      plan,
      (i, j) => (i === j ? 1 : 1.05),
      (result) => {
        assert.deepEqual(codes(result), ['solver-damping-raised']);
        assert.match(messages(result), /with dampening_frac 0\.01; 0\.1 was used/);
      },
    ));

  test(`${plan.modifier}: a nearly singular one is factored in double: solver-factored-in-double`, () =>
    solved(
      { ...plan, dampening_frac: 0 },
      (i, j) => (i === j ? 1 : 1 - 2 ** -24),
      (result) => {
        assert.deepEqual(codes(result), ['solver-factored-in-double']);
      },
    ));

  test(`${plan.modifier}: a Hessian that nothing rescues ends the run: hessian-not-positive-definite`, () =>
    assert.rejects(
      solved(
        plan,
        (i, j) => (i === j ? 1 : 50),
        () => undefined,
      ),
      (error) => error instanceof RunFailureError && error.failure.code === 'hessian-not-positive-definite',
    ));
}

test('error correction with the same inputs on both sides changes nothing', async () => {
  const read = async ({ q, scale }: QuantizedWeight): Promise<unknown> => [await q.read(), await scale.readFloats()];
  const plain = await solved(beacon, sound, read);
  assert.deepEqual(await solved({ ...beacon, error_correction: true }, sound, read, sound), plain);
  assert.notDeepEqual(await solved({ ...beacon, error_correction: true }, sound, read, (i, j) => sound(i, j) + 0.3 * i), plain);
});
