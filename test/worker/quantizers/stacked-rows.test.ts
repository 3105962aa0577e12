// Linears with one Hessian, quantized in one go: each gets the bytes that it would get alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GptqPlan, LayerPlan, QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { gptq } from '../../../worker/src/quantizers/gptq.js';
import { disposeQuantized, type QuantizedWeight, type QuantizerInput } from '../../../worker/src/quantizers/quantizer.js';
import { HessianFactors } from '../../../worker/src/quantizers/shared-hessian.js';
import { stackableSets } from '../../../worker/src/quantizers/stacked-rows.js';
import { cast } from '../../../worker/src/tensor/operations/storage.js';
import type { Device, Tensor } from '../../../worker/src/tensor/tensor.js';
import { layerPlan } from '../../support/layer-plan.js';
import { withDevice } from '../../support/native-device.js';

const columns = 64;
/** q, k and v of a model with fewer heads for keys than for queries. */
const n_rows = { q_proj: 40, k_proj: 8, v_proj: 8 };

const integers: Partial<QuantizationArgs> = { num_bits: 4, type: 'int', symmetric: true, strategy: 'group', group_size: 16 };
const schemes: Record<string, Partial<QuantizationArgs>> = {
  'integers in groups': integers,
  'integers with zero points, groups along the order of columns': { ...integers, symmetric: false, actorder: 'group' },
  'integers per row, columns in descending order': { ...integers, strategy: 'channel', group_size: null, actorder: 'weight' },
  'FP8 per row': { num_bits: 8, type: 'float', symmetric: true, strategy: 'channel' },
  NVFP4: { num_bits: 4, type: 'float', symmetric: true, strategy: 'tensor_group', group_size: 16, scale_dtype: 'torch.float8_e4m3fn' },
};

const plan: GptqPlan = {
  name: 'gptq',
  modifier: 'GPTQModifier',
  recipe_path: [],
  block_size: 32,
  dampening_frac: 0.01,
  offload_hessians: false,
};

const layerOf = (role: string, rows: number, weights: Partial<QuantizationArgs>): LayerPlan =>
  layerPlan({ name: `model.layers.0.self_attn.${role}`, rows, columns, dtype: 'BF16', weights, quantizer: plan });

/** Three linears with the Hessian of one input; all are fused by servers. */
async function withLinears(
  device: Device,
  args: Partial<QuantizationArgs>,
  work: (inputs: QuantizerInput<GptqPlan>[]) => Promise<void>,
): Promise<void> {
  using hessian = new HessianFactors(
    device.fromFloats(
      [columns, columns],
      Float32Array.from({ length: columns * columns }, (_, i) => {
        const [row, column] = [Math.floor(i / columns), i % columns];
        // A column that is always zero is in it.
        if (row === 7 || column === 7) return 0;
        return row === column ? 2 + Math.sin(row) : 0.5 * Math.cos(row - column);
      }),
    ),
  );
  const weights = Object.values(n_rows).map((rows, nth): Tensor => {
    using floats = device.fromFloats(
      [rows, columns],
      Float32Array.from({ length: rows * columns }, (_, i) => Math.sin((nth + 1) * (i + 1)) * (nth + 1)),
    );
    return cast(floats, 'BF16');
  });
  try {
    await work(
      Object.entries(n_rows).map(([role, rows], i) => ({
        layer: layerOf(role, rows, args),
        plan,
        weight: weights[i]!,
        fused: args.strategy === 'tensor_group' ? weights.filter((_, other) => other !== i) : [],
        hessian,
      })),
    );
  } finally {
    for (const weight of weights) weight.dispose();
  }
}

async function bytesOf(quantized: QuantizedWeight): Promise<(Uint8Array | null)[]> {
  const { q, gIdx, scale, zeroPoint, levels } = quantized;
  const all: (Uint8Array | null)[] = [];
  for (const tensor of [q, scale, zeroPoint, gIdx, levels?.scale, levels?.global]) all.push(tensor ? await tensor.read() : null);
  disposeQuantized(quantized);
  return all;
}

for (const kind of ['cpu', 'cuda'] as const)
  for (const [name, args] of Object.entries(schemes))
    test(`${kind}, ${name}: q, k and v in one go have the bytes of each alone`, () =>
      withDevice(
        (device) =>
          withLinears(device, args, async (inputs) => {
            const together = await gptq.together!.quantize(inputs);
            const stacked: Awaited<ReturnType<typeof bytesOf>>[] = [];
            for (const one of together) stacked.push(await bytesOf(one));
            for (const [i, input] of inputs.entries()) {
              const alone = await gptq.quantize(input);
              assert.deepEqual(together[i]?.problems, alone.problems);
              assert.equal(alone.problems[0]?.code, 'gptq-dead-columns');
              assert.deepEqual(stacked[i], await bytesOf(alone), input.layer.name);
            }
            // Codes that are all alike would show nothing.
            assert.ok(new Set(stacked[0]?.[0]).size > 5);
          }),
        2,
        kind,
      ));

const rolesOf = (sets: readonly (readonly QuantizerInput<GptqPlan>[])[]): string[][] =>
  sets.map((set) => set.map(({ layer }) => layer.name.slice('model.layers.0.self_attn.'.length)));

test('sets: on CUDA those of one scheme and one setting, as far as every row has scales of its own; on a processor each alone', async () => {
  const alone = [['q_proj'], ['k_proj'], ['v_proj']];
  await withDevice((device) => withLinears(device, integers, async (inputs) => assert.deepEqual(rolesOf(stackableSets(inputs)), alone)));
  await withDevice(
    async (device) => {
      for (const args of Object.values(schemes))
        await withLinears(device, args, async (inputs) =>
          assert.deepEqual(rolesOf(stackableSets(inputs)), [['q_proj', 'k_proj', 'v_proj']]),
        );
      for (const args of [
        { ...integers, strategy: 'tensor' as const },
        { ...schemes['FP8 per row'], strategy: 'block' as const, block_structure: [16, 16] },
      ])
        await withLinears(device, args, async (inputs) => assert.deepEqual(rolesOf(stackableSets(inputs)), alone));
      await withLinears(device, integers, async ([q, k, v]) => {
        const other = { ...k!, layer: layerOf('k_proj', n_rows.k_proj, { ...integers, num_bits: 8 }) };
        assert.deepEqual(rolesOf(stackableSets([q!, other, v!])), [['q_proj', 'v_proj'], ['k_proj']]);
      });
    },
    2,
    'cuda',
  );
});

test('a set that no calibration row reached is rounded to nearest, each with its problem', () =>
  withDevice(
    (device) =>
      withLinears(device, integers, async (inputs) => {
        const rounded = await gptq.together!.quantize(inputs.map((input) => ({ ...input, hessian: null })));
        assert.deepEqual(
          rounded.map(({ problems }) => [problems[0]?.code, problems[0]?.layer]),
          inputs.map(({ layer }) => ['gptq-without-inputs', layer.name]),
        );
        rounded.forEach(disposeQuantized);
      }),
    2,
    'cuda',
  ));
