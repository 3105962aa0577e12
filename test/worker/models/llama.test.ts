// What the forward pass promises beside its numbers: what a tap sees, every float dtype, and a clear refusal of tensors that do not fit.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { batchDocuments } from '../../../worker/src/calibration/token-batches.js';
import { loadWeights } from '../../../worker/src/checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { openDecoder } from '../../../worker/src/models/open-decoder.js';
import { cast } from '../../../worker/src/tensor/operations/storage.js';
import type { Device } from '../../../worker/src/tensor/tensor.js';
import { failureCode } from '../../support/failures.js';
import { describedModel, forwardPass, logitsOf } from '../../support/forward-pass.js';
import { maxRelative } from '../../support/golden-tensors.js';
import { withDevice } from '../../support/native-device.js';
import { writeSmallModel, type FloatTensor } from '../../support/safetensors-file.js';
import { llamaRoles } from '../../support/llama-roles.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

const folder = temporaryFolder('llama');
test.after(() => rmSync(folder, { recursive: true, force: true }));

const document = Int32Array.from({ length: 12 }, (_, i) => (i * 31) % 420);

test('a tap sees the input of every linear once, in the order of the model; those with one input see one tensor', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'tap')));
  const seen: { module: string; shape: readonly number[]; handle: unknown }[] = [];
  await withDevice((device) =>
    forwardPass(device, model, [document], (module, input) => seen.push({ module, shape: input.shape, handle: input.handle })),
  );
  const expected = [0, 1].flatMap((block) => llamaRoles.map((role) => `model.layers.${block}.${role}`));
  assert.deepEqual(
    seen.map(({ module }) => module),
    [...expected, 'lm_head'],
  );
  for (const { module, shape } of seen) assert.deepEqual(shape, [12, module.endsWith('down_proj') ? 48 : 32], module);
  const handle = (role: string): unknown => seen.find(({ module }) => module === `model.layers.1.${role}`)?.handle;
  assert.equal(handle('self_attn.q_proj'), handle('self_attn.k_proj'));
  assert.equal(handle('self_attn.q_proj'), handle('self_attn.v_proj'));
  assert.equal(handle('mlp.gate_proj'), handle('mlp.up_proj'));
  assert.notEqual(handle('mlp.gate_proj'), handle('mlp.down_proj'));
});

test('a tap sees inputs before they are quantized', { skip: skipWithoutShared }, async () => {
  const quantized = await describedModel(sharedPath('golden', 'compressed-tensors', 'rtn-W8A8'));
  const first = 'model.layers.0.self_attn.q_proj';
  const ids = Int32Array.from({ length: 10 }, (_, i) => 4 + i);
  await withDevice(async (device) => {
    const inputs = async (model: typeof quantized): Promise<Float32Array> => {
      const reads: Promise<Float32Array>[] = [];
      await forwardPass(device, model, [ids], (module, input) => {
        if (module === first) reads.push(input.readFloats());
      });
      return (await Promise.all(reads))[0] ?? new Float32Array();
    };
    const base = await describedModel(sharedPath('golden', 'compressed-tensors', 'base-llama'));
    // The norm and the embedding are not quantized, so the first linear of both sees the same numbers.
    assert.deepEqual(await inputs(quantized), await inputs(base));
  });
});

test('BF16 and F16 weights give what the same numbers give as F32', async () => {
  const round = (tensors: Map<string, FloatTensor>): void => {
    // Eight significant bits fit both types.
    for (const { values } of tensors.values()) values.forEach((value, i) => (values[i] = Math.round(value * 2 ** 9) / 2 ** 9));
  };
  const model = await describedModel(writeSmallModel(path.join(folder, 'dtypes'), { change: round }));
  await withDevice(async (device) => {
    const wanted = await forwardPass(device, model, [document]);
    for (const dtype of ['BF16', 'F16'] as const) {
      const logits = await logitsWith(device, dtype);
      assert.ok(maxRelative(logits, wanted.logits) <= 1e-6, dtype);
    }
  });

  async function logitsWith(device: Device, dtype: 'BF16' | 'F16'): Promise<Float32Array> {
    using decoder = openDecoder(model, device, document.length, 'The test');
    using weights = await loadWeights(
      openTensorReader(device, modelTensors(model)),
      () => true,
      () => null,
    );
    for (const { name } of model.tensors) weights.replace(name, cast(weights.tensor(name), dtype));
    using tokens = batchDocuments([document], [device]);
    using logits = logitsOf(decoder, tokens.batches[0]!, weights);
    return logits.readFloats();
  }
});

const misfits: [what: string, change: (tensors: Map<string, FloatTensor>) => void, ...patterns: RegExp[]][] = [
  [
    'a tensor that is missing',
    (tensors) => tensors.delete('model.layers.1.mlp.up_proj.weight'),
    /model\.layers\.1\.mlp\.up_proj\.weight is missing/,
  ],
  ['a head that is missing', (tensors) => tensors.delete('lm_head.weight'), /lm_head\.weight is missing/],
  [
    'a tensor of another shape',
    (tensors) => tensors.set('model.layers.0.self_attn.k_proj.weight', { shape: [32, 32], values: new Float32Array(1024) }),
    /model\.layers\.0\.self_attn\.k_proj\.weight is \[32, 32\] where config\.json implies \[16, 32\]/,
  ],
  [
    'many at once',
    (tensors) => [...tensors.keys()].filter((name) => name.startsWith('model.layers.1.')).forEach((name) => tensors.delete(name)),
    /model\.layers\.1\.input_layernorm\.weight is missing/,
    /and 6 more/,
  ],
  [
    'blocks beyond the last of config.json',
    (tensors) => {
      for (const [name, tensor] of [...tensors]) if (name.includes('.layers.1.')) tensors.set(name.replace('.1.', '.2.'), tensor);
    },
    /model\.layers\.2\.mlp\.down_proj\.weight \[32, 48\] is of the last block, 2, where num_hidden_layers of config\.json is 2/,
  ],
];

for (const [index, [what, change, ...patterns]] of misfits.entries())
  test(`refuses ${what} before a weight is read`, async () => {
    const model = await describedModel(
      writeSmallModel(path.join(folder, `misfit-${index}`), { change: (tensors) => void change(tensors) }),
    );
    await withDevice((device) => {
      assert.throws(() => openDecoder(model, device, 8, 'The test'), failureCode('file-unreadable', ...patterns));
      return Promise.resolve();
    });
  });

test('an architecture that is not known is refused by its name', async () => {
  const model = await describedModel(
    writeSmallModel(path.join(folder, 'unknown'), { config: { model_type: 'rwkv', architectures: ['RwkvForCausalLM'] } }),
  );
  await withDevice((device) => {
    assert.throws(
      () => openDecoder(model, device, 8, 'Evaluation'),
      failureCode('architecture-unknown', /^Evaluation needs .*RwkvForCausalLM/),
    );
    return Promise.resolve();
  });
});

test('a checkpoint whose outputs are quantized is refused, not read as if they were not', { skip: skipWithoutShared }, async () => {
  const model = await describedModel(sharedPath('golden', 'compressed-tensors', 'rtn-W8A16'));
  const [scheme] = Object.values(model.quantization?.layers ?? {});
  assert.ok(scheme?.weights);
  const outputs = { ...scheme.weights, strategy: 'tensor' as const, dynamic: true };
  await withDevice(async (device) => {
    const reader = openTensorReader(device, modelTensors(model));
    await assert.rejects(
      loadWeights(
        reader,
        () => true,
        (module) => (model.quantization?.layers[module] ? { ...scheme, output_activations: outputs } : null),
      ),
      failureCode('file-unreadable', /outputs of .* are quantized/),
    );
  });
});

test('weights in a format that does not hold them are refused by name', { skip: skipWithoutShared }, async () => {
  const { model } = await describeModel(sharedPath('golden', 'compressed-tensors', 'rtn-W4A16'), nodeFiles);
  assert.ok(model?.quantization);
  for (const [format, part] of [
    ['naive-quantized', /4 bits of type int in the format naive-quantized/],
    ['nvfp4-pack-quantized', /in the format nvfp4-pack-quantized/],
    ['dense', /in the format dense/],
  ] as const) {
    const layers = Object.fromEntries(Object.entries(model.quantization.layers).map(([name, scheme]) => [name, { ...scheme, format }]));
    const changed = { ...model, quantization: { ...model.quantization, layers } };
    await withDevice((device) =>
      assert.rejects(forwardPass(device, changed, [document.slice(0, 4)]), failureCode('file-unreadable', part)),
    );
  }
});

test('a quantized cache is refused by the name of its scale', { skip: skipWithoutShared }, async () => {
  const { model } = await describeModel(sharedPath('golden', 'compressed-tensors', 'kv-FP8'), nodeFiles);
  assert.ok(model);
  await withDevice((device) =>
    assert.rejects(forwardPass(device, model, [document.slice(0, 4)]), failureCode('file-unreadable', /layers\.0\.self_attn\.k_scale/)),
  );
});
