// The bench that runs the command line on a device, here on the emulated one; and that it tells what is not alike, file by file and layer by layer.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { emulatedCuda } from '../../support/native-device.js';
import { writeFloatTensors } from '../../support/safetensors-file.js';
import { repositoryRoot } from '../../support/shared.js';
import { inTemporaryFolder } from '../../support/worker-run.js';

type Layer = [name: string, cpu: number | null, cuda: number | null];

interface Result {
  passed: boolean;
  says: string;
  kind: string;
  checkpoint: { pieces: number; pieces_apart: number };
  relative_output_error: { layers: Layer[]; worst: { layer: string; change: number } | null };
  weight_mse: { layers: Layer[] };
  perplexity: { cpu: number; cuda: number; change: number };
  devices: { cpu: string; cuda: string };
  stages: Record<'cpu' | 'cuda', Record<string, number>>;
}

const bench = (name: string): string => path.join(repositoryRoot, 'bench', 'cuda', name);

async function recipes(
  dir: string,
  library: string,
  ...args: string[]
): Promise<{ code: number | null; text: string; results: Record<string, Result> }> {
  const out = path.join(dir, 'recipes.json');
  const child = spawn(process.execPath, [bench('recipes.mjs'), library, out, '--small', ...args], { env: { ...process.env, TMPDIR: dir } });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece: Buffer) => (text += piece.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  assert.deepEqual(readdirSync(dir), ['recipes.json'], 'the folder it worked in is gone');
  const { recipes: results } = JSON.parse(readFileSync(out, 'utf8')) as { recipes: Record<string, Result> };
  return { code, text, results };
}

test('recipes end to end on the processor and on CUDA: the same bytes, or errors equal to 1 %, and both figures of every layer', () =>
  inTemporaryFolder(async (dir) => {
    const { code, text, results } = await recipes(dir, emulatedCuda, '--recipe', 'nf4-bitsandbytes', '--recipe', 'w3a16-bias-correction');
    assert.equal(code, 0, text);
    const { 'nf4-bitsandbytes': nf4, 'w3a16-bias-correction': corrected } = results;
    assert.ok(nf4 && corrected);
    assert.deepEqual([nf4.kind, nf4.checkpoint.pieces_apart, corrected.kind], ['exact', 0, 'close']);
    assert.ok(nf4.checkpoint.pieces > 100, `${nf4.checkpoint.pieces} files and tensors`);
    for (const { devices, perplexity, stages } of [nf4, corrected]) {
      assert.equal(devices.cuda, 'CUDA, emulated');
      assert.ok(perplexity.cpu > 1 && Math.abs(perplexity.cuda / perplexity.cpu - 1) <= 0.002, text);
      for (const device of ['cpu', 'cuda'] as const) assert.ok('quantize' in stages[device], device);
    }
    for (const { layers } of [corrected.relative_output_error, corrected.weight_mse]) {
      const known = layers.filter(([, error]) => error !== null);
      assert.equal(known.length, 28);
      for (const [name, cpu, cuda] of known) assert.ok(Math.abs(cuda! / cpu! - 1) <= 0.01, `${name}: ${cuda}, on the processor ${cpu}`);
    }
    assert.match(text, /^2 recipes and 0 other commands, 0 of them failed; 2 recipes /m);
  }));

test('a backend that does not load fails the recipe, with what the command line says of it', () =>
  inTemporaryFolder(async (dir) => {
    const { code, text, results } = await recipes(dir, bench('recipes.mjs'), '--recipe', 'w8a16-rtn');
    assert.equal(code, 1, text);
    assert.equal(results['w8a16-rtn']?.passed, false);
    assert.match(results['w8a16-rtn'].says, /^the run on cuda ended with code 1: /);
  }));

interface Figures {
  checkpoint: { pieces: number; pieces_apart: number; bytes_apart: number; apart: string[] };
}
interface Bench {
  compareRuns(folder: string, other: string): Figures;
  kindOf(recipe: string): string;
  judge(kind: string, figures: Figures): { outside: string[]; is_as_demanded: boolean; perplexity_bound: number };
}

async function benchParts(): Promise<Bench> {
  const load = (name: string) => import(pathToFileURL(bench(name)).href) as Promise<Partial<Bench>>;
  return { ...(await load('compare-runs.mjs')), ...(await load('likeness.mjs')) } as Bench;
}

interface Run {
  weight?: number;
  error?: number;
  perplexity?: number;
  stderr?: number;
}

/** A checkpoint of one tensor and a report of one layer. */
function writeRun(folder: string, { weight = 1, error = 0.01, perplexity = 10, stderr }: Run): string {
  for (const one of [folder, `${folder}.run`]) mkdirSync(one, { recursive: true });
  writeFloatTensors(path.join(folder, 'model.safetensors'), new Map([['w', { shape: [2], values: Float32Array.of(weight, 3) }]]));
  writeFileSync(path.join(folder, 'config.json'), '{}');
  const report = {
    device: { name: 'a device' },
    seconds: 1,
    stages: [{ name: 'quantize', seconds: 1 }],
    layers: [{ name: 'model.layers.1.mlp.up_proj', relative_output_error: error, weight_mse: 0.5 }],
    quality: {
      after: { perplexity },
      kl_divergence: stderr === undefined ? null : { ln_ratio_stderr: stderr, mean_kld: 0, mean_ln_ratio: 0 },
    },
  };
  writeFileSync(path.join(`${folder}.run`, 'report.json'), JSON.stringify(report));
  return folder;
}

test('what is outside of its bounds is said with the layer, both bounds and the file', () =>
  inTemporaryFolder(async (dir) => {
    const { compareRuns, judge } = await benchParts();
    const cpu = writeRun(path.join(dir, 'cpu'), { stderr: 0.1 });
    const against = (kind: string, other: Run): ReturnType<Bench['judge']> =>
      judge(kind, compareRuns(cpu, writeRun(path.join(dir, 'cuda'), other)));
    assert.deepEqual(against('exact', {}), { outside: [], perplexity_bound: 0.002, is_as_demanded: true });
    assert.deepEqual(against('exact', { weight: 2 }).outside, ['1 of 2 files and tensors have other bytes: model.safetensors: w']);
    assert.deepEqual(against('close', { weight: 2, error: 0.01005, perplexity: 10.01 }).outside, []);
    const apart = against('close', { error: 0.0102, perplexity: 10.09 });
    assert.equal(apart.is_as_demanded, false);
    assert.deepEqual(apart.outside, [
      'relative_output_error of model.layers.1.mlp.up_proj differs by 2 %, at most 1 % is allowed',
      'the sum of relative_output_error over all layers differs by 2 %, at most 1 % is allowed',
      'perplexity differs by 0.9 %, at most 0.2 % is allowed',
    ]);
    const spread = against('corrected', { error: 0.0102, perplexity: 10.09 });
    assert.deepEqual([spread.outside, spread.perplexity_bound, spread.is_as_demanded], [[], 0.01, false]);
    // 3 · √(0.1² + 0.1²) = 0.424 of its logarithm.
    assert.ok(Math.abs(against('chaotic', { stderr: 0.1 }).perplexity_bound - (Math.exp(0.3 * Math.SQRT2) - 1)) < 1e-12);
    assert.deepEqual(against('chaotic', { stderr: 0.1, perplexity: 16 }).outside, [
      'perplexity differs by 60 %, at most 52.8 % is allowed',
    ]);
  }));

test('every example has the kind of its method', async () => {
  const { kindOf } = await benchParts();
  const examples = path.join(repositoryRoot, 'examples');
  const kinds: Record<string, string[]> = {};
  for (const file of readdirSync(examples).filter((name) => name.endsWith('.quant.yaml')))
    (kinds[kindOf(readFileSync(path.join(examples, file), 'utf8'))] ??= []).push(file.replace('.quant.yaml', ''));
  const { close = [], chaotic = [], ...rest } = kinds;
  assert.deepEqual(rest, {
    exact: ['nf4-bitsandbytes', 'q4-k-m-gguf', 'sparse20-magnitude-rtn', 'w4a16-spinquant-rtn', 'w8a16-rtn', 'w8a8-fp8-dynamic'],
    corrected: ['ternary-beacon', 'w2a16-beacon', 'w3a16-qronos', 'w4a16-gpfq'],
    drawn: ['vptq-2bit'],
  });
  assert.ok(close.includes('w4a16-awq') && close.includes('w4a16-hqq') && close.includes('sparse30-wanda'), close.join());
  for (const name of chaotic) assert.match(name, /gptq|comq/);
});
