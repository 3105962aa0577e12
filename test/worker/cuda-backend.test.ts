// A second backend behind the addon, end to end through Node: the library beside it is found, listed, opened; tensors go there, are worked on and come back;
// failures are told. It is the emulated CUDA backend of the native tests, so this runs where no GPU is.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { RunReport } from '../../schemas/src/generated/report.js';
import type { NativeCore } from '../../worker/src/native-core.js';
import { embedding, linear } from '../../worker/src/tensor/operations/forward.js';
import { dequantize, quantizeRtn, weightScales } from '../../worker/src/tensor/operations/quantizers.js';
import { Device } from '../../worker/src/tensor/tensor.js';
import { tinyLlama, writeModel } from '../support/model-fixture.js';
import { emulatedCuda, withCore } from '../support/native-device.js';
import { seededRandom } from '../support/random.js';
import { inTemporaryFolder, resolvePlan, runToCompletion } from '../support/worker-run.js';

const floats = (n: number, value: (i: number) => number): Uint8Array =>
  new Uint8Array(Float32Array.from({ length: n }, (_, i) => value(i)).buffer);

/** x · Wᵀ, and W rounded to 4 bits and back. */
async function layer(core: NativeCore, kind: 'cpu' | 'cuda'): Promise<Uint8Array[]> {
  const native = core.openDevice(kind, 0, 1);
  assert.equal(native.kind, kind);
  const device = new Device(native);
  try {
    using x = device.fromBytes(
      'F32',
      [3, 32],
      floats(96, (i) => Math.sin(i)),
    );
    using weight = device.fromBytes(
      'F32',
      [8, 32],
      floats(256, (i) => Math.cos(i * i)),
    );
    using y = linear(x, weight, null);
    const args = { num_bits: 4, symmetric: true, strategy: 'group', group_size: 16 } as const;
    const [scale, zeroPoint] = weightScales(weight, null, { ...args, observer: 'minmax', maxshrink: 0, patience: 0, grid: 1, norm: 2 });
    using codes = quantizeRtn(weight, scale, zeroPoint, null, args);
    using back = dequantize(codes, scale, zeroPoint, null, args);
    scale.dispose();
    zeroPoint.dispose();
    return [await y.read(), await codes.read(), await back.read()];
  } finally {
    native.close();
  }
}

test('a backend library beside the addon is listed and computes what the processor does', () =>
  withCore(emulatedCuda, async (core) => {
    assert.ok(existsSync(emulatedCuda), 'built by scripts/build-native.mjs');
    const [cuda] = core.devices().filter(({ kind }) => kind === 'cuda');
    assert.deepEqual(
      { name: cuda?.name, usable: cuda?.usable, reason: cuda?.reason },
      { name: 'CUDA, emulated', usable: true, reason: null },
    );
    const [expected, other] = [await layer(core, 'cpu'), await layer(core, 'cuda')];
    assert.deepEqual(other.slice(1), expected.slice(1), 'codes and what they stand for, to the bit');
    const numbers = (bytes: Uint8Array | undefined): number[] => Array.from(new Float32Array((bytes ?? new Uint8Array()).slice().buffer));
    const [y, reference] = [numbers(other[0]), numbers(expected[0])];
    assert.equal(y.length, 24);
    y.forEach((value, i) =>
      assert.ok(Math.abs(value - (reference[i] ?? NaN)) < 1e-5, `element ${i} is ${value}, on the processor ${reference[i]}`),
    );
  }));

test('a failure on the other device is told by the next read with operation and shapes, and a device that is not there by its number', () =>
  withCore(emulatedCuda, async (core) => {
    assert.throws(() => core.openDevice('cuda', 7, 1), /there is no device cuda:7, the last is cuda:0/);
    const native = core.openDevice('cuda', 0, 1);
    const device = new Device(native);
    try {
      using table = device.fromBytes(
        'F32',
        [2, 2],
        floats(4, (i) => i),
      );
      using ids = device.fromBytes('I32', [1], new Uint8Array(Int32Array.of(5).buffer));
      using rows = embedding(table, ids);
      await assert.rejects(
        rows.read(),
        /^Error: embedding of F32\[2, 2\] I32\[1\]: token id 5 at position 0 is outside the vocabulary of 2$/,
      );
    } finally {
      native.close();
    }
  }));

/** As if the machine had so many. */
async function withEmulatedDevices(count: number, work: (core: NativeCore) => Promise<void>): Promise<void> {
  process.env['BITWRIGHT_EMULATED_DEVICES'] = String(count);
  try {
    await withCore(emulatedCuda, work);
  } finally {
    delete process.env['BITWRIGHT_EMULATED_DEVICES'];
  }
}

test('two devices of the other backend: rows and layers are spread over both, and give what one gives', () =>
  withEmulatedDevices(2, (core) =>
    inTemporaryFolder(async (dir) => {
      const infos = core.devices().filter(({ kind }) => kind === 'cuda');
      assert.deepEqual(
        infos.map(({ index, usable }) => [index, usable]),
        [
          [0, true],
          [1, true],
        ],
      );
      const model = path.join(dir, 'model');
      // Keys and values have fewer rows than queries, so that GPTQ takes them in one go apart from those.
      const config = { num_attention_heads: 2, num_key_value_heads: 1, bos_token_id: 1, hidden_act: 'silu', rms_norm_eps: 1e-5 };
      const random = seededRandom(3);
      const tiny = tinyLlama({ hidden: 16, intermediate: 32, keyValues: 8, blocks: 2, vocabulary: 40, config });
      writeModel(model, tiny, () => (random.next() - 0.5) / 2);
      // More than one batch of 4096 tokens.
      const rows = path.join(dir, 'rows.jsonl');
      const row = (): string => `${JSON.stringify({ input_ids: Array.from({ length: 40 }, () => 3 + random.below(36)) })}\n`;
      writeFileSync(rows, Array.from({ length: 110 }, row).join(''));
      const recipe =
        'quant_stage:\n  quant_modifiers: {SmoothQuantModifier: {}, GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: group, group_size: 8}, input_activations: {num_bits: 8, type: int, strategy: tensor, observer: minmax}}}}}\n';
      const outcome = async (n: number): Promise<RunReport> => {
        const calibration = { dataset: rows, num_calibration_samples: 110, max_seq_length: 64 };
        const evaluate = { dataset: rows, num_samples: 20, max_seq_length: 64 };
        const plan = await resolvePlan({ recipe, model, output: path.join(dir, `${n}`), calibration, evaluate });
        const devices = infos.slice(0, n).map(({ kind, index }) => core.openDevice(kind, index, 1));
        return (await runToCompletion(plan, { devices })).report;
      };
      const [one, two] = [await outcome(1), await outcome(2)];
      assert.deepEqual(
        two.device.devices?.map(({ id, name }, index) => [id, name, (two.memory.devices?.[index]?.peak_bytes ?? 0) > 0]),
        [
          ['cuda:0', 'CUDA, emulated', true],
          ['cuda:1', 'CUDA, emulated', true],
        ],
      );
      const names = ({ layers }: RunReport): string[] => layers.map(({ name }) => name);
      assert.deepEqual(names(two), names(one), 'in the order of one device');
      const near = (value: number, expected: number): boolean => Math.abs(value - expected) <= 1e-4 * expected;
      for (const [index, layer] of one.layers.entries()) {
        const [error, other] = [layer.relative_output_error ?? NaN, two.layers[index]?.relative_output_error ?? NaN];
        assert.ok(error > 0 && near(other, error), `${layer.name}: ${other}, on one device ${error}`);
      }
      const [alone, both] = [one.quality?.after?.perplexity ?? NaN, two.quality?.after?.perplexity ?? NaN];
      assert.ok(near(both, alone), `perplexity ${both}, on one device ${alone}`);
      assert.equal(two.quality?.before?.perplexity, one.quality?.before?.perplexity);
    }),
  ));

test('without the library the device is listed with the reason, and cannot be opened', () =>
  withCore(null, (core) => {
    const cuda = core.devices().find(({ kind }) => kind === 'cuda');
    assert.match(cuda?.reason ?? '', /bitwright-cuda\.so is missing beside the native core/);
    assert.throws(() => core.openDevice('cuda', 0, 1), /bitwright-cuda\.so is missing/);
    return Promise.resolve();
  }));
