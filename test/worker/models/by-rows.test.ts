// A sequence in pieces: hidden states, logits and what a tap sees have the bytes of a pass of all rows at once, with less memory.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { packDocuments } from '../../../worker/src/calibration/token-batches.js';
import { loadWeights, type LoadedWeights } from '../../../worker/src/checkpoint/loaded-weights.js';
import { loadInputQuantizer } from '../../../worker/src/checkpoint/formats/inputs.js';
import { modelTensors, openTensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { openDecoder } from '../../../worker/src/models/open-decoder.js';
import type { Device } from '../../../worker/src/tensor/tensor.js';
import { describedModel } from '../../support/forward-pass.js';
import { withDevice } from '../../support/native-device.js';
import { writeSmallModel } from '../../support/safetensors-file.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

const folder = temporaryFolder('by-rows');
test.after(() => rmSync(folder, { recursive: true, force: true }));

/** Everything that a pass of one document answers, and the most that its tensors took. */
async function passOf(
  device: Device,
  model: ModelDescription,
  n_tokens: number,
  rowsAtATime: number | null,
  change: (weights: LoadedWeights) => void = () => undefined,
): Promise<{ read: Map<string, Uint8Array>; peak: number }> {
  using decoder = openDecoder(model, device, n_tokens, 'The test');
  const reader = openTensorReader(device, modelTensors(model));
  using weights = await loadWeights(
    reader,
    () => true,
    (module) => model.quantization?.layers[module] ?? null,
  );
  change(weights);
  const vocabulary = model.architecture?.vocab_size ?? 1;
  const whole = packDocuments([Int32Array.from({ length: n_tokens }, (_, i) => (i * i * 7 + i) % vocabulary)], device);
  const batch = rowsAtATime === null ? whole : { ...whole, rowsAtATime };
  using _ = { [Symbol.dispose]: () => [batch.ids, batch.positionIds, batch.documentOffsets].forEach((tensor) => tensor.dispose()) };
  await device.sync();
  device.native.resetPeakMemory();
  const read = new Map<string, Promise<Uint8Array>>();
  let hidden = decoder.embed(batch, weights);
  for (let block = 0; block < decoder.nBlocks; block += 1) {
    using before = hidden;
    decoder.observeBlock(block, before, batch, weights, (module, input) => void read.set(module, input.read()));
    hidden = decoder.forwardBlock(block, before, batch, weights, null);
    using tapped = decoder.forwardBlock(block, before, batch, weights, (module, input) => void read.set(`${module}, passed`, input.read()));
    read.set(`block ${block}, tapped`, tapped.read());
    read.set(`block ${block}`, hidden.read());
    for (const part of ['self_attn', 'mlp']) {
      using output = decoder.forwardModule(`model.layers.${block}.${part}`, block, before, batch, weights);
      read.set(`block ${block}, ${part}`, output.read());
    }
  }
  using last = hidden;
  read.set('last', last.read());
  const bytes = new Map<string, Uint8Array>();
  for (const [name, one] of read) bytes.set(name, await one);
  return { read: bytes, peak: device.native.memory().peak_bytes };
}

async function assertSame(
  model: ModelDescription,
  kind: 'cpu' | 'cuda',
  change?: (weights: LoadedWeights) => void,
): Promise<{ pieces: number; whole: number }> {
  const [n_tokens, ...ranges] = kind === 'cpu' ? [1300, 256, 512] : [520, 256];
  return withDevice(
    async (device) => {
      const whole = await passOf(device, model, n_tokens, null, change);
      let peak = 0;
      for (const rowsAtATime of ranges) {
        const pieces = await passOf(device, model, n_tokens, rowsAtATime, change);
        assert.deepEqual([...pieces.read.keys()], [...whole.read.keys()]);
        for (const [name, bytes] of whole.read)
          assert.ok(Buffer.from(bytes).equals(pieces.read.get(name)!), `${kind}, ${rowsAtATime} rows: ${name}`);
        peak = Math.max(peak, pieces.peak);
      }
      return { pieces: peak, whole: whole.peak };
    },
    2,
    kind,
  );
}

for (const kind of ['cpu', 'cuda'] as const)
  test(`heads of 8 that share keys: ${kind}`, async () => {
    const { pieces, whole } = await assertSame(await describedModel(writeSmallModel(path.join(folder, `small-${kind}`))), kind);
    assert.ok(pieces < whole, `${pieces} bytes at most, ${whole} at once`);
  });

for (const name of ['llama-mlp-and-attention-bias', 'mistral-sliding-window', 'qwen2-tied', 'qwen3'])
  test(`the architecture of ${name}`, { skip: skipWithoutShared }, async () => {
    await assertSame(await describedModel(sharedPath('golden', 'architectures', name)), 'cpu');
  });

for (const name of ['rtn-W8A8', 'rtn-W8A8-static-minmax', 'rtn-FP8_BLOCK', 'rtn-NVFP4'])
  test(`inputs that ${name} quantizes`, { skip: skipWithoutShared }, async () => {
    await assertSame(await describedModel(sharedPath('golden', 'compressed-tensors', name)), 'cpu');
  });

test('inputs that are quantized with one scale for all rows are not cut', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'all-rows')));
  const args = { num_bits: 8, type: 'int', symmetric: true, strategy: 'tensor', dynamic: true, group_size: null } as const;
  await assertSame(model, 'cpu', (weights) => {
    for (const { name } of model.tensors.filter((tensor) => /_proj\.weight$/.test(tensor.name))) {
      const scheme = { input_activations: args, output_activations: null } as unknown as Parameters<typeof loadInputQuantizer>[2];
      weights.addInputQuantizer(name.replace('.weight', ''), loadInputQuantizer(null as never, name, scheme)!);
    }
  });
});
