// A run of the command line that has ended: a tiny model in the folder, quantized into `out`.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { runBitwright } from './bitwright-process.js';
import { tinyLlama, writeTinyLlama } from './tiny-llama-folder.js';

export async function finishRun(folder: string): Promise<void> {
  writeTinyLlama(path.join(folder, 'model'), 'random');
  const ids = (row: number): number[] => Array.from({ length: 24 }, (_, i) => (row * 31 + i * 7) % tinyLlama.vocabulary);
  writeFileSync(
    path.join(folder, 'rows.jsonl'),
    Array.from({ length: 8 }, (_, row) => `${JSON.stringify({ input_ids: ids(row) })}\n`).join(''),
  );
  writeFileSync(
    path.join(folder, 'r.quant.yaml'),
    `model: model
calibration: {dataset: rows.jsonl, num_calibration_samples: null}
evaluate: {perplexity: {dataset: rows.jsonl}}
output: {dir: out}
quant_stage:
  quant_modifiers:
    GPTQModifier:
      ignore: [lm_head]
      config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 16}}}
`,
  );
  const { code, stderr } = await runBitwright(['quantize', 'r.quant.yaml'], { cwd: folder });
  assert.equal(code, 0, stderr);
}
