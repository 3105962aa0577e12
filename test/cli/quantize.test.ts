// The built command line with the real worker and native core: runs, cancellation, death of the worker, evaluation.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import type { RunReport } from '../../schemas/src/generated/report.js';
import type { DeviceDescription, TensorStatistics } from '../../schemas/src/protocol/client-worker.js';
import { requireBuild, runBitwright } from '../support/bitwright-process.js';
import { repositoryRoot } from '../support/shared.js';
import { temporaryFolder, tinyLlama, writeTinyLlama } from '../support/tiny-llama-folder.js';

const folder = temporaryFolder('cli-run');
const run = (...args: string[]) => runBitwright(args, { cwd: folder });

/** Rows of token ids, so that no tokenizer is needed. */
function rows(count: number, length: number): string {
  const ids = (row: number): number[] => Array.from({ length }, (_, column) => (row * 31 + column * 7) % tinyLlama.vocabulary);
  return Array.from({ length: count }, (_, row) => `${JSON.stringify({ input_ids: ids(row) })}\n`).join('');
}

const recipe = (dataset: string, out: string): string => `model: model
calibration: {dataset: ${dataset}, num_calibration_samples: null}
evaluate: {perplexity: {dataset: rows.jsonl}}
output: {dir: ${out}}
quant_stage:
  quant_modifiers:
    GPTQModifier:
      ignore: [lm_head]
      config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 16}}}
`;

before(() => {
  requireBuild('cli', 'server', 'worker');
  writeTinyLlama(path.join(folder, 'model'), 'random');
  writeTinyLlama(path.join(folder, 'uniform'));
  writeFileSync(path.join(folder, 'rows.jsonl'), rows(8, 24));
  writeFileSync(path.join(folder, 'many.jsonl'), rows(6000, 100));
  writeFileSync(path.join(folder, 'r.quant.yaml'), recipe('rows.jsonl', 'out'));
  writeFileSync(path.join(folder, 'long.quant.yaml'), recipe('many.jsonl', 'long'));
});

test('devices --json lists the CPU as usable', async () => {
  const { code, stdout, stderr } = await run('devices', '--json');
  assert.equal(code, 0, stderr);
  const devices = JSON.parse(stdout) as DeviceDescription[];
  assert.ok(devices.some((device) => device.kind === 'cpu' && device.usable));
  for (const device of devices) assert.equal(device.usable, device.reason === null);
  const cuda = devices.find((device) => device.kind === 'cuda');
  assert.ok(cuda, 'a CUDA device is listed, or what is missing for one');
  if (!cuda.usable) {
    // One of the things that can be missing, by its name.
    assert.match(
      cuda.reason ?? '',
      /bitwright-cuda\.so|no NVIDIA driver|too old|does not answer|no CUDA device|compute capability|cuBLAS|cannot be used/,
    );
    const text = await run('devices');
    assert.match(text.stdout, /^cuda:0 {2}.*\n {2}not usable: /m);
  }
});

test('evaluate --json: a model of zero weights finds every token equally likely', async () => {
  const { code, stdout, stderr } = await run('evaluate', 'uniform', '--text', 'rows.jsonl', '--max-seq-length', '16', '--json');
  assert.equal(code, 0, stderr);
  const result = JSON.parse(stdout) as { perplexity: number; nll: number; tokens: number };
  assert.deepEqual(Object.keys(result), ['perplexity', 'nll', 'tokens']);
  assert.equal(result.tokens, 8 * 15);
  assert.ok(Math.abs(result.perplexity - tinyLlama.vocabulary) < 1e-3, String(result.perplexity));
  assert.ok(Math.abs(result.nll - 120 * Math.log(tinyLlama.vocabulary)) < 1e-3, String(result.nll));
});

test('evaluate of more tokens than the context has says what that measures, as the editor does', async () => {
  writeFileSync(path.join(folder, 'short.txt'), 'a\n');
  const { stderr } = await run('evaluate', 'model', '--text', 'short.txt', '--max-seq-length', '100000');
  assert.match(
    stderr,
    /^note {2}--max-seq-length 100000 is longer than the model's context of \d+ tokens: longer documents measure positions/m,
  );
});

test('evaluate of a text that holds no rows is a failed run, with the file named', async () => {
  writeFileSync(path.join(folder, 'broken.jsonl'), '{"text": \n');
  const { code, stdout, stderr } = await run('evaluate', 'uniform', '--text', 'broken.jsonl', '--json');
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /broken\.jsonl, line 1/);
});

test('inspect --layer --json counts every value', async () => {
  const { code, stdout, stderr } = await run('inspect', 'model', '--layer', 'model.layers.0.mlp.up_proj', '--json');
  assert.equal(code, 0, stderr);
  const statistics = JSON.parse(stdout) as TensorStatistics;
  assert.equal(statistics.count, tinyLlama.hidden * tinyLlama.mlp);
  assert.equal(
    statistics.histogram.counts.reduce((sum, count) => sum + count, 0),
    statistics.count,
  );
});

test('quantize writes a checkpoint and a report, and says so to a reader', async () => {
  const { code, stdout, stderr } = await run('quantize', 'r.quant.yaml', '--out', 'text-out');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^Quantized 14 layers in /m);
  assert.match(stdout, /^ {2}weights .* bits per weight$/m);
  assert.match(stdout, /^ {2}perplexity +\d+\.\d{4} +\d+\.\d{4} /m);
  assert.match(stdout, /relative output error/);
  assert.match(stdout, new RegExp(`^Checkpoint +${path.join(folder, 'text-out')}$`, 'm'));
  assert.ok(existsSync(path.join(folder, 'text-out', 'config.json')));
  assert.doesNotMatch(stderr, /\x1b/, 'no terminal codes in a pipe');
});

test('quantize --json: one object on stdout; one and two threads give the same bytes', async () => {
  const bytes: Buffer[] = [];
  for (const threads of ['1', '2']) {
    const out = `json-${threads}`;
    const { code, stdout, stderr } = await run('quantize', 'r.quant.yaml', '--json', '--threads', threads, '--out', out);
    assert.equal(code, 0, stderr);
    const result = JSON.parse(stdout) as { outcome: string; output_dir: string; report: RunReport; failure: null };
    assert.deepEqual([result.outcome, result.output_dir, result.failure], ['completed', path.join(folder, out), null]);
    assert.equal(result.report.layers.filter((layer) => layer.quantizer === 'gptq').length, 14);
    assert.equal(result.report.device.threads, Number(threads));
    const shards = readdirSync(path.join(folder, out))
      .filter((name) => name.endsWith('.safetensors'))
      .sort();
    bytes.push(Buffer.concat(shards.map((name) => readFileSync(path.join(folder, out, name)))));
  }
  assert.ok(bytes[0]?.equals(bytes[1] ?? Buffer.alloc(0)));
});

test('a GGUF file that a run has written is evaluated and inspected like any model folder', async () => {
  const gguf = `quant_modifiers: {GGUFModifier: {type: Q8_0, pure: true}}`;
  writeFileSync(
    path.join(folder, 'gguf.quant.yaml'),
    `model: stories\noutput: {dir: gguf, tokenizer_pre: smollm}\nquant_stage:\n  ${gguf}\n`,
  );
  const text = path.join(repositoryRoot, 'examples/data/validation.jsonl');
  cpSync(path.join(repositoryRoot, 'examples/models/stories-and-sums-1m'), path.join(folder, 'stories'), { recursive: true });
  const quantized = await run('quantize', 'gguf.quant.yaml');
  assert.equal(quantized.code, 0, quantized.stderr);
  const perplexities: number[] = [];
  for (const model of ['stories', 'gguf']) {
    const { code, stdout, stderr } = await run('evaluate', model, '--text', text, '--max-seq-length', '32', '--json');
    assert.equal(code, 0, stderr);
    perplexities.push((JSON.parse(stdout) as { perplexity: number }).perplexity);
  }
  const [before = 0, after = 0] = perplexities;
  assert.ok(Math.abs(after / before - 1) < 0.02 && after !== before, perplexities.join(', '));
  const listed = (await run('inspect', 'gguf')).stdout;
  assert.match(listed, /^Weights {7}\d+ tensors, [\d.]+ kB in 1 file$/m, 'bytes of blocks are no values');
  assert.match(listed, /shape as stored/);
  const { code, stdout, stderr } = await run('inspect', 'gguf', '--layer', 'model.layers.0.mlp.up_proj', '--json');
  assert.equal(code, 0, stderr);
  assert.ok((JSON.parse(stdout) as TensorStatistics).count > 0);
});

test('inspect shows packed weights as they are stored, and the shape of their layer', async () => {
  const packed = recipe('rows.jsonl', 'packed')
    .replace('GPTQ', 'Quantization')
    .replace(/^(calibration|evaluate).*\n/gm, '');
  writeFileSync(path.join(folder, 'packed.quant.yaml'), packed);
  assert.equal((await run('quantize', 'packed.quant.yaml')).code, 0);
  const { stdout } = await run('inspect', 'packed');
  assert.match(stdout, /^ +tensor +dtype +shape as stored +shape of the layer +size +scheme$/m);
  // Eight codes of 4 bits in a word.
  assert.match(stdout, /mlp\.down_proj\.weight_packed +I32 +64 × 22 +64 × 176 +[\d.]+ kB +int4/);
  assert.match(stdout, /mlp\.down_proj\.weight_scale +F32 +64 × 11 +[\d.]+ kB$/m);
});

test('a recipe with an error is not run: exit 1, outcome refused', async () => {
  writeFileSync(path.join(folder, 'bad.quant.yaml'), recipe('none.jsonl', 'bad'));
  const { code, stdout, stderr } = await run('quantize', 'bad.quant.yaml', '--json');
  assert.equal(code, 1);
  assert.equal((JSON.parse(stdout) as { outcome: string }).outcome, 'refused');
  assert.match(stderr, /bad\.quant\.yaml:2:\d+ error/);
  assert.ok(!existsSync(path.join(folder, 'bad.run')));
});

test('Ctrl-C cancels in order: exit 130, no checkpoint', async () => {
  const { code, stdout, stderr } = await runBitwright(['quantize', 'long.quant.yaml', '--json'], {
    cwd: folder,
    onStderr: (text, child) => void (/block 0/.test(text) && child.kill('SIGINT')),
  });
  assert.equal(code, 130, stderr);
  assert.equal((JSON.parse(stdout) as { outcome: string }).outcome, 'cancelled');
  assert.match(stderr, /Running again resumes/);
  assert.ok(!existsSync(path.join(folder, 'long')));
});

test('Ctrl-C in an evaluation: exit 130, nothing on stdout', async () => {
  const { code, stdout, stderr } = await runBitwright(['evaluate', 'model', '--text', 'many.jsonl', '--json'], {
    cwd: folder,
    onStderr: (text, child) => void (/%/.test(text) && child.kill('SIGINT')),
  });
  assert.equal(code, 130, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, /^Cancelled\.$/m);
});

test('a worker that is killed: the run is failed, exit 1, and it says how the worker died', async (t) => {
  if (process.platform !== 'linux') return t.skip('finds the worker through /proc');
  const { code, stdout, stderr } = await runBitwright(['quantize', 'long.quant.yaml', '--json'], {
    cwd: folder,
    onStderr: (text, child) => {
      if (!/block 0/.test(text)) return;
      const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(/\s+/);
      for (const pid of children) process.kill(Number(pid), 'SIGKILL');
    },
  });
  assert.equal(code, 1, stderr);
  const result = JSON.parse(stdout) as { outcome: string; failure: { code: string } };
  assert.deepEqual([result.outcome, result.failure.code], ['failed', 'worker-died']);
  assert.match(stderr, /killed by SIGKILL/);
  assert.ok(!existsSync(path.join(folder, 'long')));
});

test('a canary that stops the run: exit code 1, no checkpoint; with another limit it goes on', async () => {
  const canary = (limit: number): string => `canary: {max_mean_kld: ${limit}, every: 1}\n`;
  writeFileSync(path.join(folder, 'canary.quant.yaml'), canary(1e-12) + recipe('rows.jsonl', 'watched'));
  const stopped = await run('quantize', 'canary.quant.yaml');
  assert.equal(stopped.code, 1, stopped.stdout);
  assert.match(stopped.stderr, /^Canary behind block 0: mean KLD .* nats on \d+ tokens$/m);
  assert.match(
    stopped.stderr,
    /^The run failed: The canary stopped the run behind block 0 of \d+: .* running again goes on behind block 0\.$/m,
  );
  assert.ok(!existsSync(path.join(folder, 'watched')));
  writeFileSync(path.join(folder, 'canary.quant.yaml'), canary(90) + recipe('rows.jsonl', 'watched'));
  const { code, stdout, stderr } = await run('quantize', 'canary.quant.yaml');
  assert.equal(code, 0, stderr);
  assert.match(stderr, /resuming after 1 finished block/);
  assert.match(stdout, /^Canary {6}[0-9.e-]+ ± [0-9.e-]+ nats behind block \d+, of 90 nats at most$/m);
  assert.match(
    (await run('plan', 'canary.quant.yaml')).stdout,
    /^Canary {7}mean KL divergence of 90 nats at most, measured every block, on /m,
  );
});

test('a gate that does not hold: exit code 1, the figure in the report, the checkpoint stays', async () => {
  const gates = 'gates: {max_bits_per_weight: 8, max_perplexity_change: -1000}\n';
  writeFileSync(path.join(folder, 'gates.quant.yaml'), gates + recipe('rows.jsonl', 'gated'));
  const { code, stdout, stderr } = await run('quantize', 'gates.quant.yaml');
  assert.equal(code, 1, stdout);
  assert.match(stdout, /^Gates {7}holds {2}max_bits_per_weight 8: [0-9.]+\n {12}FAILS {2}max_perplexity_change -1000: /m);
  assert.match(
    stderr,
    /error gate-failed {2}max_perplexity_change: the change of the perplexity is .* at most -1000 is wanted\. The checkpoint stands/,
  );
  assert.match(stderr, /^1 gate of the recipe does not hold: max_perplexity_change\.$/m);
  assert.ok(existsSync(path.join(folder, 'gated', 'model.safetensors')));
  const report = JSON.parse(readFileSync(path.join(folder, 'gated.run', 'report.json'), 'utf8')) as RunReport;
  assert.deepEqual(
    report.gates?.map(({ gate, holds }) => [gate, holds]),
    [
      ['max_bits_per_weight', true],
      ['max_perplexity_change', false],
    ],
  );
  assert.deepEqual(report.problems.find((problem) => problem.code === 'gate-failed')?.recipe_path, ['gates', 'max_perplexity_change']);
  writeFileSync(path.join(folder, 'gates.quant.yaml'), gates.replace('-1000', '1000') + recipe('rows.jsonl', 'gated'));
  assert.equal((await run('quantize', 'gates.quant.yaml')).code, 0);
});
