// The built command line: analyze, suggest --write, and a run of the written recipe that takes the bytes that were predicted.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { readImatrix } from '../../schemas/src/model/imatrix.js';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import type { RunReport } from '../../schemas/src/generated/report.js';
import type { SensitivityAnalysis } from '../../schemas/src/generated/sensitivity.js';
import type { BitSearch } from '../../schemas/src/protocol/client-worker.js';
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
  assert.match(analyzed.stderr, /^Memory {7}about \d\S* MB at most, while calibrating a block; \S+ GB is free$/m);
  assert.doesNotMatch(analyzed.stderr, /^note/m);
  const analysis = JSON.parse(analyzed.stdout) as SensitivityAnalysis;
  assert.equal(analysis.layers.length, 14);
  const imatrix = path.join(folder, 'out.analysis', 'imatrix.gguf');
  assert.ok((await run('analyze', 'r.quant.yaml')).stdout.includes(`\nImatrix       ${imatrix}\n`));
  assert.equal((await readImatrix(nodeFiles, imatrix, imatrix)).size, 14);
  const shown = await run('suggest', 'r.quant.yaml', '--budget', '5.5bpw');
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^Chosen {3}5\.\d{3} bits per weight/m);
  assert.match(shown.stdout, /^-.*config_groups: \{g:/m);
  assert.equal(readFileSync(path.join(folder, 'r.quant.yaml'), 'utf8'), recipe, 'nothing is written unasked');
  assert.doesNotMatch(shown.stderr, /^note/m);
  cpSync(path.join(folder, 'model'), path.join(folder, 'tuned'), { recursive: true });
  const tuned = await run('suggest', 'r.quant.yaml', '--budget', '5.5bpw', '--model', 'tuned');
  assert.match(tuned.stderr, /^note {2}The analysis is of another model, .*\/model\. Analyze the recipe again for .*\/tuned\.$/m);
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

test('a limit on the quality is searched for in kept weights, with a bounded number of evaluations', async () => {
  writeFileSync(path.join(folder, 'r.quant.yaml'), recipe);
  const search = (...args: string[]) => run('suggest', 'r.quant.yaml', '--max-kld', ...args);
  const both = await search('0.1', '--budget', '4bpw');
  assert.deepEqual([both.code, both.stderr.includes('suggest needs one of')], [2, true], both.stderr);
  assert.match((await search('0')).stderr, /--max-kld takes a number above 0; 0 is none of them/);
  assert.match((await run('suggest', 'r.quant.yaml', '--budget', '4bpw', '--evaluations', '3')).stderr, /--evaluations belongs to/);
  const without = await search('0.1');
  assert.equal(without.code, 1);
  assert.match(without.stderr, /with \d bits was not kept\. Run bitwright analyze with --keep-weights and this recipe first\./);
  const kept = await run('analyze', 'r.quant.yaml', '--keep-weights', '--bits', '2,4,8');
  assert.equal(kept.code, 0, kept.stderr);
  // Between what 8 bits lose on this model and what 2 bits lose.
  const found = await search('1e-8', '--evaluations', '5', '--json');
  assert.equal(found.code, 0, found.stderr);
  assert.match(found.stderr, /^Memory {7}about \d\S* MB at most, while \w.*; \S+ GB is free$/m);
  const { search: measured, ...suggestion } = JSON.parse(found.stdout) as Suggestion & { search: BitSearch; recipe: string };
  assert.ok(measured.measured.length === 5 && measured.chosen !== null);
  assert.equal(suggestion.bytes, measured.measured[measured.chosen]?.bytes);
  for (const { holds, mean_kld } of measured.measured) assert.equal(holds, mean_kld <= 1e-8);
  assert.equal(new Set(measured.measured.map(({ mean_kld }) => mean_kld)).size, 5, 'each choice was measured itself');
  const text = await search('1e-8', '--evaluations', '5');
  assert.match(text.stdout, /^ *measured on .*rows\.jsonl +KL divergence, nats/m);
  const impossible = await search('1e-30');
  assert.equal(impossible.code, 1);
  assert.match(
    impossible.stderr,
    /^Nothing was suggested: with the most bits of the analysis \(10\.000 per weight\) the model has a KL divergence of/m,
  );
});

test('the memory that is needed and inputs that are quantized are told before an analysis begins', async () => {
  const modifier = 'quant_stage: {quant_modifiers: {GPTQModifier: {scheme: W8A8, ignore: [lm_head]}}}';
  const given = 'model: model\ncalibration: {dataset: rows.jsonl}\noutput: {dir: w8a8}\nmax_memory: 1GB\n';
  writeFileSync(path.join(folder, 'w8a8.quant.yaml'), `${given}${modifier}\n`);
  const { code, stderr, stdout } = await run('analyze', 'w8a8.quant.yaml', '--bits', '4', '--fisher');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^Analysis {6}/m);
  const lines = stderr.split('\n');
  assert.match(lines[0] ?? '', /^Memory {7}about \d\S* MB at most, while .*; max_memory allows 1\.0 GB$/);
  assert.match(
    lines[1] ?? '',
    /^note {2}model\.layers\.0\.[\w.]+ has quantized inputs\. The analysis varies .* in a weight-only scheme such as W4A16\.$/,
  );
  const suggested = await run('suggest', 'w8a8.quant.yaml', '--budget', '4.5bpw');
  assert.match(suggested.stderr, /mixed bits are written for weights alone/);
});
