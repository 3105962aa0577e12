// Checkpoints of llm-compressor, read by us, against the logits that transformers computes from the same files.
//
// transformers runs these bfloat16 models in bfloat16; we run them in float32 on the same dequantized weights, as serving kernels do that keep
// scales and sums in float32. So two comparisons (goldens and distances: test/golden/make_goldens.py), in the norm ‖ours − golden‖ / ‖golden‖:
//
//   float32-logits.safetensors, transformers with float32 activations. Weights only, and static input scales: 1e-4, as for float models.
//     Dynamic input scales: the value that sets the range of its token lies at ±127.5 steps, on the border between two codes, so that
//     float noise turns it by a whole step, in transformers too. How far that carries is measured there as the distance between its
//     float32 and float64 runs; ours is a third run with noise of that size, and two such runs are at most twice that far apart.
//     (That the rounding itself is theirs to the bit is the test of input-quantization.safetensors.)
//   golden.safetensors of the folder, bfloat16. By the triangle inequality at most the distance between the two runs of transformers,
//     plus ours from its float32 run; 5 % more, because the first is relative to the norm of the float32 logits and the second to that of fewer positions.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fakeQuantizeDynamic, fakeQuantizeLocal, fakeQuantizeStatic } from '../../../worker/src/tensor/operations/forward.js';
import type { Device, Tensor } from '../../../worker/src/tensor/tensor.js';
import { describedModel, forwardPass, rowsOf } from '../../support/forward-pass.js';
import { goldenOf, normRelative, readGoldenTensors } from '../../support/golden-tensors.js';
import { withDevice } from '../../support/native-device.js';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../../support/shared.js';

const goldens = path.join(repositoryRoot, 'test', 'golden');
const distances = JSON.parse(readFileSync(path.join(goldens, 'float32-distances.json'), 'utf8')) as Record<
  string,
  { bfloat16: number; float64: number }
>;

for (const [name, distance] of Object.entries(distances))
  test(`${name}: logits equal those of transformers`, { skip: skipWithoutShared }, async () => {
    const dir = sharedPath('golden', 'compressed-tensors', name);
    const golden = await readGoldenTensors(`${dir}/golden.safetensors`);
    const ids = goldenOf(golden, 'input_ids');
    const n_rows = ids.shape[0] ?? 0;
    const model = await describedModel(dir);
    const { logits } = await withDevice((device) => forwardPass(device, model, rowsOf(ids.values, ids.shape[1] ?? 0)));
    const isDynamic = Object.values(model.quantization?.layers ?? {}).some((scheme) => scheme.input_activations?.dynamic);

    const exact = goldenOf(await readGoldenTensors(path.join(goldens, 'float32-logits.safetensors')), name);
    const [kept, all] = [exact.values.length / n_rows, logits.length / n_rows];
    const ours = Array.from({ length: n_rows }, (_, row) => [...logits.subarray((row + 1) * all - kept, (row + 1) * all)]).flat();
    const fromFloat32 = normRelative(ours, exact.values);
    const tolerance = isDynamic ? 2 * distance.float64 : 1e-4;
    assert.ok(fromFloat32 <= tolerance, `from the float32 run: ${fromFloat32}, allowed ${tolerance}`);

    const fromBfloat16 = normRelative(logits, goldenOf(golden, 'logits').values);
    const bound = (distance.bfloat16 + fromFloat32) * 1.05;
    assert.ok(fromBfloat16 <= bound, `from the bfloat16 run: ${fromBfloat16}, allowed ${bound}`);
  });

/** −0 and 0 are one number here. */
const withoutSigns = (values: Float32Array | Int32Array): number[] => Array.from(values, (value) => value + 0);

test('quantized inputs equal those of compressed-tensors bit for bit', async () => {
  const golden = await readGoldenTensors(path.join(goldens, 'input-quantization.safetensors'));
  const x = goldenOf(golden, 'x');
  const cases = [...golden.keys()].filter((name) => name !== 'x');
  assert.equal(cases.length, 19);
  await withDevice(async (device) => {
    using input = device.fromFloats(x.shape, x.values as Float32Array);
    for (const name of cases) {
      using output = quantizedAs(name, input, device);
      assert.deepEqual(withoutSigns(await output.readFloats()), withoutSigns(goldenOf(golden, name).values), name);
    }
  });
});

/** `name`: kind, strategy, bits, and symmetry of integers or kind of float, as in the golden file. */
function quantizedAs(name: string, input: Tensor, device: Device): Tensor {
  const [kind, strategy, bits, symmetry] = name.split(' ');
  const isFloat = symmetry === 'float' || symmetry === 'mx';
  const [num_bits, symmetric] = [Number(bits), symmetry === 'symmetric' || isFloat];
  const grid = { type: isFloat ? ('float' as const) : ('int' as const), num_bits, symmetric, mx: symmetry === 'mx' };
  if (kind === 'local') {
    using global = device.fromFloats([1], Float32Array.of(3.7));
    return fakeQuantizeLocal(input, global, { group_size: 16 });
  }
  if (kind === 'dynamic')
    return fakeQuantizeDynamic(input, { ...grid, strategy: strategy as 'token' | 'tensor' | 'group', group_size: grid.mx ? 32 : 16 });
  using scale = device.fromFloats([1], Float32Array.of(0.37));
  using zeroPoint = device.fromBytes('I8', [1], Uint8Array.of(symmetric ? 0 : 253));
  return fakeQuantizeStatic(input, scale, zeroPoint, grid);
}
