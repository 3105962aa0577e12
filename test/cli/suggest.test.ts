// The built command line: analyze, suggest --write, and a run of the written recipe that takes the bytes that were predicted.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import type { RunReport } from '../../schemas/src/generated/report.js';
import type { SensitivityAnalysis } from '../../schemas/src/generated/sensitivity.js';
import type { Suggestion } from '../../schemas/src/suggest-bits.js';
import { requireBuild, runBitwright } from '../support/bitwright-process.js';
import { temporaryFolder, tinyLlama, writeTinyLlama } from '../support/tiny-llama-folder.js';

const folder = temporaryFolder('cli-suggest');
const run = (...args: string[]) => runBitwright(args, { cwd: folder });
const recipe = `model: model
calibration: {dataset: rows.jsonl}
evaluate: {perplexity: {dataset: rows.jsonl}}
output: {dir: out}
quant_stage:
  quant_modifiers:
    GPTQModifier:
      ignore: [lm_head]
      config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 16}}}
`;

before(() => {
  requireBuild('cli', 'server', 'worker');
  writeTinyLlama(path.join(folder, 'model'), 'random');
  const rows = Array.from({ length: 8 }, (_, row) => ({
    input_ids: Array.from({ length: 24 }, (_unused, i) => (row * 31 + i * 7) % tinyLlama.vocabulary),
  }));
  writeFileSync(path.join(folder, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  writeFileSync(path.join(folder, 'r.quant.yaml'), recipe);
});

test('without an analysis suggest says what to run first', async () => {
  const { code, stderr } = await run('suggest', 'r.quant.yaml', '--budget', '4bpw');
  assert.equal(code, 1);
  assert.match(stderr, /There is no .*out\.analysis.sensitivity\.json\. Run bitwright analyze with this recipe first\./);
  assert.equal((await run('suggest', 'r.quant.yaml')).code, 2);
  assert.match((await run('analyze', 'r.quant.yaml', '--bits', '4,9')).stderr, /--bits 4,9 is no list of whole numbers from 2 to 8/);
});

test('analyze, suggest, write, quantize: the bytes are those predicted', async () => {
  const analyzed = await run('analyze', 'r.quant.yaml', '--bits', '2,3,4,8', '--json');
  assert.equal(analyzed.code, 0, analyzed.stderr);
  const analysis = JSON.parse(analyzed.stdout) as SensitivityAnalysis;
  assert.equal(analysis.layers.length, 14);
  const shown = await run('suggest', 'r.quant.yaml', '--budget', '5.5bpw');
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^Chosen {3}5\.\d{3} bits per weight/m);
  assert.match(shown.stdout, /^-.*config_groups: \{g:/m);
  assert.equal(readFileSync(path.join(folder, 'r.quant.yaml'), 'utf8'), recipe, 'nothing is written unasked');
  const written = await run('suggest', 'r.quant.yaml', '--budget', '5.5bpw', '--write', '--json');
  const suggestion = JSON.parse(written.stdout) as Suggestion & { recipe: string };
  assert.equal(readFileSync(path.join(folder, 'r.quant.yaml'), 'utf8'), suggestion.recipe);
  assert.ok(new Set(suggestion.groups.map(({ num_bits }) => num_bits)).size > 1);
  const quantized = await run('quantize', 'r.quant.yaml', '--json');
  assert.equal(quantized.code, 0, quantized.stderr);
  const { report } = JSON.parse(quantized.stdout) as { report: RunReport };
  assert.equal(report.size.bits_per_weight, suggestion.bitsPerWeight);
  const impossible = await run('suggest', 'r.quant.yaml', '--budget', '1bpw');
  assert.equal(impossible.code, 1);
  assert.match(impossible.stderr, /the smallest schemes take \d\.\d{3} bits per weight/);
});
