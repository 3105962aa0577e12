// Qronos and GPFQ against their authors' code (Brevitas) on the same weights, products, grids and damping: the codes are the same but where F32 rounds a weight across a border.
// Recorded by test/parity/brevitas-goldens.py.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { GpfqPlan, QronosPlan } from '../../../schemas/src/generated/plan.js';
import { quantizers } from '../../../worker/src/algorithms.js';
import type { Quantizer } from '../../../worker/src/quantizers/quantizer.js';
import { disposeQuantized } from '../../../worker/src/quantizers/quantizer.js';
import { HessianFactors } from '../../../worker/src/quantizers/shared-hessian.js';
import { goldenOf } from '../../support/golden-tensors.js';
import { layerPlan } from '../../support/layer-plan.js';
import { withDevice } from '../../support/native-device.js';
import { repositoryRoot } from '../../support/shared.js';
import { floatsOf, readTensors } from '../../support/worker-run.js';

const [rows, columns] = [24, 40];
const at = { recipe_path: ['a', 'b'] };
const plans: Record<'qronos' | 'gpfq', QronosPlan | GpfqPlan> = {
  qronos: { ...at, name: 'qronos', modifier: 'QronosModifier', block_size: 16, dampening_frac: 0.01 },
  gpfq: { ...at, name: 'gpfq', modifier: 'GPFQModifier' },
};

for (const name of ['qronos', 'gpfq'] as const)
  test(`${name} chooses the codes of its authors' code, at 4, 3 and 2 bits, with outliers and below full rank`, () =>
    withDevice(async (device) => {
      const golden = await readTensors(path.join(repositoryRoot, 'test', 'golden', 'brevitas.safetensors'));
      const stored = (tensor: string) => goldenOf(golden, tensor);
      let n_different = 0;
      for (const kind of ['even', 'outliers', 'low rank'])
        for (const num_bits of [4, 3, 2]) {
          const square = (matrix: string) => device.fromFloats([columns, columns], floatsOf(stored(`${kind}.${matrix}`)));
          using hessian = new HessianFactors(square('H'), square('C'));
          using weight = device.fromFloats([rows, columns], floatsOf(stored(`${kind}.weight`)));
          const input = {
            layer: layerPlan({ rows, columns, weights: { num_bits } }),
            plan: plans[name],
            weight,
            hessian,
            zeros: null,
            fused: [],
          };
          const chosen = await (quantizers[name] as Quantizer).quantize(input);
          const scales = floatsOf(stored(`${kind}.${num_bits}.scale`));
          assert.deepEqual(Array.from(await chosen.scale.readFloats()), Array.from(scales));
          const codes = new Int8Array((await chosen.q.read()).slice().buffer);
          const expected = new Int8Array(new Uint8Array(stored(`${kind}.${num_bits}.${name}`).bytes).buffer);
          for (let row = 0; row < rows; ++row) {
            const same = (column: number): boolean => codes[row * columns + column] === expected[row * columns + column];
            n_different += Array.from({ length: columns }, (_, column) => column).every(same) ? 0 : 1;
          }
          disposeQuantized(chosen);
        }
      assert.ok(n_different <= 2, `${n_different} of ${9 * rows} rows differ`);
    }));
