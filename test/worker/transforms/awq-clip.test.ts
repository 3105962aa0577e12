// AWQ's clipping: the choice of every cell is that of a search in double, the run reports what it gained, and nothing is cut where nothing is asked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { clipLayer } from '../../../worker/src/jobs/clip-layer.js';
import { seededRandom } from '../../../worker/src/random-numbers.js';
import type { WeightArgs } from '../../../worker/src/tensor/grid-args.js';
import { dequantize, quantizeRtn, weightScales } from '../../../worker/src/tensor/operations/quantizers.js';
import type { Tensor } from '../../../worker/src/tensor/tensor.js';
import { clipped } from '../../../worker/src/transforms/awq-clip.js';
import { correctedRun, told } from '../../support/corrected-run.js';
import { withDevice } from '../../support/native-device.js';
import { inTemporaryFolder } from '../../support/worker-run.js';

const [m, n, size] = [6, 24, 8];

/** Symmetric, 3 bits: as grid.h has it. */
function rounded(cell: readonly number[]): number[] {
  const scale = Math.fround(Math.max(...cell.map(Math.abs)) / 3.5) || 1.1920929e-7;
  return cell.map((w) => {
    const x = Math.fround(w / scale);
    const down = Math.floor(x);
    const nearest = x - down === 0.5 ? (down % 2 === 0 ? down : down + 1) : Math.round(x);
    return Math.fround(Math.min(3, Math.max(-4, nearest)) * scale);
  });
}

test('the cut of every group is that of a search over all tokens in double', () =>
  withDevice(async (device) => {
    const random = seededRandom(21);
    const W = Float32Array.from({ length: m * n }, (_, i) => (random() - 0.5) * (i % 11 === 0 ? 4 : 1));
    // A row of zeros has nothing to cut.
    W.fill(0, 0, n);
    const X = Float32Array.from({ length: 50 * n }, () => random() - 0.3);
    const H = Float32Array.from({ length: n * n }, (_, k) => {
      let sum = 0;
      for (let t = 0; t < 50; t += 1) sum += X[t * n + Math.floor(k / n)]! * X[t * n + (k % n)]!;
      return sum;
    });
    const args: WeightArgs = { type: 'int', num_bits: 3, symmetric: true, strategy: 'group', group_size: size };
    const round = (weight: Tensor): Tensor => {
      const [scale, zeroPoint] = weightScales(weight, null, { ...args, observer: 'minmax', maxshrink: 0, patience: 0, grid: 1, norm: 2 });
      using ownScale = scale;
      using ownZeroPoint = zeroPoint;
      using q = quantizeRtn(weight, ownScale, ownZeroPoint, null, args);
      return dequantize(q, ownScale, ownZeroPoint, null, args);
    };
    using w = device.fromFloats([m, n], W);
    using hessian = device.fromFloats([n, n], H);
    const found = await clipped(w, hessian, args, { n_grid: 20, max_shrink: 0.5 }, round);
    const values = await found.weight.readFloats();
    found.weight.dispose();
    let [n_clipped, before, after] = [0, 0, 0];
    for (let row = 0; row < m; row += 1)
      for (let first = 0; first < n; first += size) {
        const cell = [...W.subarray(row * n + first, row * n + first + size)];
        const largest = Math.max(...cell.map(Math.abs));
        const loss = (cut: readonly number[]): number => {
          const d = rounded(cut).map((value, i) => cell[i]! - value);
          let sum = 0;
          for (let t = 0; t < 50; t += 1) sum += d.reduce((total, value, i) => total + value * X[t * n + first + i]!, 0) ** 2;
          return sum;
        };
        let best = { loss: loss(cell), p: 1 };
        before += best.loss;
        for (let step = 1; step < 10; step += 1) {
          const limit = Math.fround(largest * Math.fround(1 - step / 20));
          const own = loss(cell.map((value) => Math.min(limit, Math.max(-limit, value))));
          if (own < best.loss * (1 - 1e-5)) best = { loss: own, p: 1 - step / 20 };
        }
        after += best.loss;
        if (best.p < 1) n_clipped += 1;
        const limit = Math.fround(largest * Math.fround(best.p));
        cell.forEach((value, i) =>
          assert.equal(values[row * n + first + i], Math.min(limit, Math.max(-limit, value)), `row ${row}, column ${first + i}`),
        );
      }
    assert.ok(n_clipped > 3, `${n_clipped} cells are cut`);
    assert.deepEqual([found.n_cells, found.n_clipped], [(m * n) / size, n_clipped]);
    assert.ok(Math.abs(found.loss_before - before) < 1e-4 * before && Math.abs(found.loss_after - after) < 1e-4 * after);
  }));

const modifiers = (awq: string, scheme: string): string =>
  `AWQModifier: ${awq}\nQuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: ${scheme}}}}`;

for (const [name, scheme] of [
  ['groups', '{num_bits: 3, type: int, strategy: group, group_size: 16}'],
  ['rows, asymmetric', '{num_bits: 3, type: int, symmetric: false, strategy: channel}'],
  ['a whole tensor', '{num_bits: 4, type: int, strategy: tensor}'],
] as const)
  test(`a run with ${name}: all linears but q and k are searched, and none loses`, () =>
    inTemporaryFolder(async (dir) => {
      const { ended, report } = await correctedRun(dir, {
        modifiers: modifiers('{apply_clip: true, duo_scaling: false, n_grid: 4}', scheme),
      });
      assert.equal(ended.outcome, 'completed', ended.failure?.message);
      assert.deepEqual(told(report), []);
      for (const { name: layer, clip } of report?.layers ?? []) {
        assert.equal(clip === undefined, /[qk]_proj$/.test(layer), layer);
        if (clip) assert.ok(clip.loss_after <= clip.loss_before && clip.n_clipped <= clip.n_cells, layer);
      }
      const gained = (report?.layers ?? []).filter(({ clip }) => clip && clip.loss_after < 0.99 * clip.loss_before);
      assert.ok(gained.length >= (name === 'a whole tensor' ? 1 : 8), `${gained.length} layers gain`);
    }));

test('without apply_clip nothing is cut', () =>
  inTemporaryFolder(async (dir) => {
    const { report } = await correctedRun(dir, { modifiers: modifiers('{n_grid: 4}', '{num_bits: 3, type: int, strategy: channel}') });
    assert.ok(report?.layers.every(({ clip }) => clip === undefined));
  }));

test('inputs that are always zero: nothing is cut, and AWQ says what it says', () =>
  inTemporaryFolder(async (dir) => {
    const { report } = await correctedRun(dir, {
      modifiers: modifiers('{apply_clip: true, n_grid: 4}', '{num_bits: 3, type: int, strategy: channel}'),
      change: (tensor) => (tensor === 'model.layers.1.post_attention_layernorm.weight' ? 0 : undefined),
    });
    const up = report?.layers.find(({ name }) => name === 'model.layers.1.mlp.up_proj');
    assert.deepEqual(up?.clip, { n_clipped: 0, n_cells: 176, loss_before: 0, loss_after: 0 });
    assert.deepEqual(told(report), [
      'awq-inputs-zero model.layers.1.post_attention_layernorm',
      'awq-inputs-zero model.layers.1.mlp.up_proj',
    ]);
  }));

test('a layer that no row reached is told: awq-clip-without-inputs', () =>
  withDevice(async (device) => {
    using w = device.fromFloats([1, 2], Float32Array.of(1, 2));
    const clip = { layers: ['a'], n_grid: 20, max_shrink: 0.5 };
    const plan = {
      name: 'awq' as const,
      modifier: 'AWQModifier',
      recipe_path: [],
      duo_scaling: true,
      n_grid: 4,
      mappings: [],
      passed_over: [],
      clip,
    };
    const { weight, problems } = await clipLayer([plan], { name: 'a' } as LayerPlan, w, null);
    assert.equal(weight, null);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['awq-clip-without-inputs'],
    );
  }));
