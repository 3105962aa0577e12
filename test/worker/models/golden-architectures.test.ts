// The Llama family against transformers: logits and every hidden state of tiny random models with float32 weights.
// Norm: max |ours − golden| / max |golden|, at most 1e-4.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describedModel, forwardPass, rowsOf } from '../../support/forward-pass.js';
import { goldenOf, maxRelative, readGoldenTensors } from '../../support/golden-tensors.js';
import { withDevice } from '../../support/native-device.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';

const tolerance = 1e-4;

const architectures = [
  'llama',
  'llama-linear-rope',
  'llama-mlp-and-attention-bias',
  'llama-yarn-rope',
  'llama3-rope',
  'mistral-sliding-window',
  'qwen2-tied',
  'qwen3',
];

for (const name of architectures)
  test(`${name}: logits and hidden states equal those of transformers`, { skip: skipWithoutShared }, async () => {
    const dir = sharedPath('golden', 'architectures', name);
    const golden = await readGoldenTensors(`${dir}/golden.safetensors`);
    const ids = goldenOf(golden, 'input_ids');
    const documents = rowsOf(ids.values, ids.shape[1] ?? 0);
    const model = await describedModel(dir);
    const { hiddenStates, logits } = await withDevice((device) => forwardPass(device, model, documents));
    assert.equal(hiddenStates.length, (model.architecture?.num_hidden_layers ?? 0) + 1);
    hiddenStates.forEach((state, index) => {
      const difference = maxRelative(state, goldenOf(golden, `hidden_states.${index}`).values);
      assert.ok(difference <= tolerance, `hidden state ${index} differs by ${difference}`);
    });
    const difference = maxRelative(logits, goldenOf(golden, 'logits').values);
    assert.ok(difference <= tolerance, `the logits differ by ${difference}`);
  });

test('a document does not see the others of its batch', { skip: skipWithoutShared }, async () => {
  const dir = sharedPath('golden', 'architectures', 'mistral-sliding-window');
  const golden = goldenOf(await readGoldenTensors(`${dir}/golden.safetensors`), 'input_ids');
  const [first, second] = rowsOf(golden.values, golden.shape[1] ?? 0) as [Int32Array, Int32Array];
  const model = await describedModel(dir);
  const vocabulary = model.architecture?.vocab_size ?? 0;
  await withDevice(async (device) => {
    const alone = await forwardPass(device, model, [second]);
    const behind = await forwardPass(device, model, [first.subarray(0, 5), second, first]);
    const part = behind.logits.subarray(5 * vocabulary, (5 + second.length) * vocabulary);
    assert.ok(maxRelative(part, alone.logits) <= 1e-6);
  });
});
