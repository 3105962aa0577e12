// SmoothQuant and logarithmic equalization: the function of the model stays, and the deprecated name is the same transform as the algorithm of the other.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';
import {
  assertSameTensors,
  inTemporaryFolder,
  readTensors,
  resolvePlan,
  runToCompletion,
  type StoredTensor,
} from '../../support/worker-run.js';

const rows = Array.from({ length: 6 }, (_, row) =>
  Array.from({ length: 40 }, (_, i) => (11 * i + 17 * row + i * i) % tinyLlama.vocabulary),
);

async function smoothed(modifier: string): Promise<Map<string, StoredTensor>> {
  return inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const dataset = path.join(dir, 'rows.jsonl');
    writeFileSync(dataset, rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
    const recipe = `quant_stage:\n  quant_modifiers:\n    ${modifier}\n    QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}\n`;
    const plan = await resolvePlan({ recipe, model, output: path.join(dir, 'out'), calibration: { dataset, num_calibration_samples: 6 } });
    const { report } = await runToCompletion(plan);
    assert.equal(report.transforms?.length, 2 * tinyLlama.blocks);
    return readTensors(path.join(dir, 'out', 'model.safetensors'));
  });
}

test('LogarithmicEqualizationModifier is SmoothQuantModifier with algorithm log_equalization, and not SmoothQuant', async () => {
  const named = await smoothed('LogarithmicEqualizationModifier: {}');
  assertSameTensors(named, await smoothed('SmoothQuantModifier: {algorithm: log_equalization}'));
  const other = await smoothed('SmoothQuantModifier: {}');
  const norm = 'model.layers.0.input_layernorm.weight';
  assert.ok(!named.get(norm)!.bytes.equals(other.get(norm)!.bytes));
});

test('LogarithmicEqualizationModifier with algorithm smoothquant is SmoothQuant, as in llm-compressor', async () => {
  assertSameTensors(
    await smoothed('LogarithmicEqualizationModifier: {algorithm: smoothquant, smoothing_strength: 0.7}'),
    await smoothed('SmoothQuantModifier: {smoothing_strength: 0.7}'),
  );
});
