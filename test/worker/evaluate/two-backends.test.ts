// What compares and decodes next-token distributions, on the processor and on the (emulated) CUDA backend: one divergence, one text.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { decodeGreedily } from '../../../worker/src/evaluate/greedy-decoding.js';
import { measureDivergence } from '../../../worker/src/evaluate/kl-divergence.js';
import type { EvaluationWatch } from '../../../worker/src/evaluate/model-pass.js';
import { writeDataset } from '../../support/dataset-file.js';
import { failureCode } from '../../support/failures.js';
import { describedModel } from '../../support/forward-pass.js';
import { withDevice } from '../../support/native-device.js';
import { writeSmallModel } from '../../support/safetensors-file.js';

const folder = mkdtempSync(path.join(tmpdir(), 'bitwright-evaluations-'));
test.after(() => rmSync(folder, { recursive: true, force: true }));

const quiet: EvaluationWatch = { onProblem: () => undefined, onProgress: () => undefined, throwIfCancelled: () => undefined };

test('KL divergence is that of the processor', async () => {
  const original = await describedModel(writeSmallModel(path.join(folder, 'original')));
  const quantized = await describedModel(
    writeSmallModel(path.join(folder, 'changed'), {
      change: (tensors) => {
        const tensor = tensors.get('model.layers.0.mlp.down_proj.weight');
        tensor?.values.forEach((value, i) => (tensor.values[i] = value + 0.05 * Math.sin(i)));
      },
    }),
  );
  const rows = Array.from({ length: 8 }, (_, row) => ({
    input_ids: Array.from({ length: 9 + row }, (_unused, i) => (row * 17 + i * i) % 420),
  }));
  const dataset = writeDataset(path.join(folder, 'rows.jsonl'), rows);
  const on = (kind: 'cpu' | 'cuda') => withDevice((device) => measureDivergence({ original, quantized }, dataset, device, quiet), 1, kind);
  const [cpu, cuda] = [await on('cpu'), await on('cuda')];
  assert.ok(cpu.mean_kld > 1e-5, `the models differ: ${cpu.mean_kld}`);
  assert.equal(cuda.tokens, cpu.tokens);
  assert.equal(cuda.same_top, cpu.same_top);
  for (const key of ['mean_kld', 'perplexity', 'perplexity_original', 'rms_delta_p'] as const)
    assert.ok(Math.abs(cuda[key] / cpu[key] - 1) < 1e-4, `${key} is ${cuda[key]}, on the processor ${cpu[key]}`);
});

test('greedy decoding of prompts of unequal lengths ends in the same tokens; weights that the device has no room for are refused', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'decoded')));
  const prompts = [[5, 9, 200], [7], [300, 301, 302, 303, 17, 4]].map((ids) => Int32Array.from(ids));
  const on = (kind: 'cpu' | 'cuda', limit = 0) =>
    withDevice(
      (device) => {
        device.native.limitMemory(limit);
        // The second prompt ends early and stays behind.
        const isEnded = (prompt: number, generated: readonly number[]): boolean => prompt === 1 && generated.length === 2;
        return decodeGreedily({ model, device, prompts, most: 6, isEnded, onProgress: () => undefined });
      },
      1,
      kind,
    );
  const cpu = await on('cpu');
  assert.deepEqual(
    cpu.map(({ length }) => length),
    [6, 2, 6],
  );
  assert.ok(new Set(cpu.flat()).size > 3, 'the text is not one token again and again');
  assert.deepEqual(await on('cuda'), cpu);
  await assert.rejects(
    on('cuda', 5e4),
    failureCode('memory-too-small', /generating, which keeps all weights in memory, needs .* and .* is free/),
  );
});
