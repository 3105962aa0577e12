// The searching observers against llm-compressor's, to the bit: scales and zero points of awkward weights in all dtypes, and ranges of inputs row by row.
// Recorded by test/parity/observer-goldens.py.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { LayerPlan, QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import type { DType } from '../../../worker/src/native-core.js';
import { StaticRangeObserver, staticRange } from '../../../worker/src/observers/static-range.js';
import { HessianFactors } from '../../../worker/src/quantizers/shared-hessian.js';
import { observeWeight } from '../../../worker/src/quantizers/weight-observer.js';
import { activationScale } from '../../../worker/src/tensor/operations/observers.js';
import { globalScale } from '../../../worker/src/tensor/operations/quantizers.js';
import { gridArgs } from '../../../worker/src/tensor/grid-args.js';
import { goldenOf } from '../../support/golden-tensors.js';
import { weightArgs } from '../../support/layer-plan.js';
import { withDevice } from '../../support/native-device.js';
import { repositoryRoot } from '../../support/shared.js';
import { floatsOf, readTensors, type StoredTensor } from '../../support/worker-run.js';

const file = path.join(repositoryRoot, 'test', 'golden', 'observers.safetensors');
const columns = 96;

const mx = { strategy: 'group', group_size: 32, scale_dtype: 'torch.uint8' } as const;
const nv = { strategy: 'tensor_group', group_size: 16, scale_dtype: 'torch.float8_e4m3fn' } as const;
const weightSchemes: Record<string, Partial<QuantizationArgs>> = {
  'int4-group': { num_bits: 4, strategy: 'group', group_size: 32 },
  'int4-group-asymmetric': { num_bits: 4, strategy: 'group', group_size: 32, symmetric: false },
  'int3-channel': { num_bits: 3, strategy: 'channel' },
  'int8-tensor': { num_bits: 8, strategy: 'tensor' },
  'fp8-channel': { num_bits: 8, type: 'float', strategy: 'channel' },
  mxfp4: { num_bits: 4, type: 'float', ...mx },
  nvfp4: { num_bits: 4, type: 'float', ...nv },
};
const weightObservers: Record<string, Record<string, number>> = {
  imatrix_mse: {},
  'imatrix_mse norm 2.4': { norm: 2.4, grid: 50, maxshrink: 0.5, expand: 1.25 },
  nvfp4_expanded_mse: {},
  'memoryless_mse expand 1.5': { expand: 1.5, maxshrink: 0.6, patience: 50 },
};
const inputSchemes: Record<string, Partial<QuantizationArgs>> = {
  int8: { num_bits: 8, strategy: 'tensor' },
  'int8-asymmetric': { num_bits: 8, strategy: 'tensor', symmetric: false },
  fp8: { num_bits: 8, type: 'float', strategy: 'tensor' },
  nvfp4: { num_bits: 4, type: 'float', dynamic: 'local', ...nv },
};

/** Value of an E4M3 code. */
const e4m3 = (code: number): number => {
  const [exponent, significand] = [(code >> 3) & 15, code & 7];
  return exponent === 0 ? significand * 2 ** -9 : (1 + significand / 8) * 2 ** (exponent - 7);
};

for (const [dtypeName, dtype] of [
  ['float32', 'F32'],
  ['bfloat16', 'BF16'],
  ['float16', 'F16'],
] as [string, DType][])
  for (const [scheme, changes] of Object.entries(weightSchemes))
    for (const [title, kwargs] of Object.entries(weightObservers))
      test(`${dtypeName} ${scheme} ${title}: the scales of llm-compressor`, async () => {
        const golden = await readTensors(file);
        const args = weightArgs({ strategy: 'tensor', observer: title.split(' ')[0]!, observer_kwargs: kwargs, ...changes });
        const layer = { name: 'linear', scheme: { weights: args } } as LayerPlan;
        const wanted = (key: string): StoredTensor => goldenOf(golden, `${dtypeName}/${scheme}/${title}/${key}`);
        await withDevice(async (device) => {
          using weight = device.fromBytes(dtype, [24, columns], goldenOf(golden, `${dtypeName}/weight`).bytes);
          const importance = floatsOf(goldenOf(golden, 'importance'));
          const diagonal = new Float32Array(columns * columns);
          importance.forEach((value, i) => (diagonal[i * columns + i] = value));
          using hessian = new HessianFactors(device.fromFloats([columns, columns], diagonal));
          const found = await observeWeight(
            { layer, plan: { name: 'rtn', modifier: '', recipe_path: [] }, weight, fused: [], hessian },
            null,
          );
          using scale = found.scale;
          using zeroPoint = found.zeroPoint;
          using first = found.levels?.scale;
          using second = found.levels?.global;
          if (first && second) {
            assert.deepEqual([...(await second.readFloats())], [...floatsOf(wanted('global_scale'))]);
            assert.deepEqual([...(await first.read())].map(e4m3), [...floatsOf(wanted('scale'))]);
            return;
          }
          assert.deepEqual([...(await scale.read())], [...wanted('scale').bytes]);
          if (args.type === 'int') assert.deepEqual([...(await zeroPoint.read())], [...wanted('zero_point').bytes]);
        });
      });

for (const [scheme, changes] of Object.entries(inputSchemes))
  for (const title of ['static_minmax', 'minmax', 'minmax 0.25', 'memoryless_mse', 'mse', 'mse 0.25', 'imatrix_mse', 'nvfp4_expanded_mse'])
    test(`inputs ${scheme} ${title}: the range and the scale of llm-compressor over three rows`, async () => {
      const golden = await readTensors(file);
      const [name = '', constant] = title.split(' ');
      const args = weightArgs({
        strategy: 'tensor',
        observer: name,
        observer_kwargs: constant === undefined ? {} : { averaging_constant: Number(constant) },
        ...changes,
      });
      const wanted = (key: string): number[] => [...floatsOf(goldenOf(golden, `inputs/${scheme}/${title}/${key}`))];
      await withDevice(async (device) => {
        using observer = new StaticRangeObserver(device, args, 'linear');
        const rows = [0, 1, 2].map((i) => goldenOf(golden, `rows/${i}`));
        // Two rows in one batch, and one by itself.
        for (const [firstDocument, batch] of [[0, rows.slice(0, 2)] as const, [2, rows.slice(2)] as const]) {
          const offsets = batch.reduce((ends, { shape }) => [...ends, ends.at(-1)! + shape[0]!], [0]);
          using input = device.fromBytes('F32', [offsets.at(-1)!, columns], Buffer.concat(batch.map(({ bytes }) => bytes)));
          observer.observe(input, { offsets, firstDocument });
          await device.sync();
        }
        const range = await staticRange([observer], args);
        assert.ok(range);
        assert.deepEqual(range, [wanted('min')[0], wanted('max')[0]]);
        if (args.dynamic === 'local') {
          using largest = device.fromFloats([1], Float32Array.of(Math.max(-range[0], range[1], 0)));
          using global = globalScale(largest, 'F32');
          return assert.deepEqual([...(await global.readFloats())], wanted('global_scale'));
        }
        using tensor = device.fromFloats([2], new Float32Array(range));
        const [scale, zeroPoint] = activationScale(tensor, { ...gridArgs(args), scale_dtype: 'F32' });
        using own = scale;
        using point = zeroPoint;
        assert.deepEqual([...(await own.readFloats())], wanted('scale'));
        if (args.type === 'int')
          assert.deepEqual([...(await point.read())], [...goldenOf(golden, `inputs/${scheme}/${title}/zero_point`).bytes]);
      });
    });

test('inputs that are NaN have no range: it is NaN, for the layer to be named', async () => {
  await withDevice(async (device) => {
    const args = weightArgs({ strategy: 'tensor', observer: 'mse', ...inputSchemes['int8'] });
    using observer = new StaticRangeObserver(device, args, 'linear');
    using input = device.fromFloats([2, 4], Float32Array.from([1, 2, 3, 4, 5, Infinity, 7, 8]));
    observer.observe(input, { offsets: [0, 1, 2], firstDocument: 0 });
    assert.deepEqual(await staticRange([observer], args), [NaN, NaN]);
  });
});
