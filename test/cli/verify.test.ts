// `bitwright verify`: a run done again gives the same bytes at another number of threads; what went in and has changed is named before anything runs; a lock that tells another story is told by tensor.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import type { RunLock } from '../../schemas/src/generated/lock.js';
import { asLock } from '../../schemas/src/validate.js';
import { requireBuild, runBitwright } from '../support/bitwright-process.js';
import { finishRun } from '../support/finished-run.js';
import { temporaryFolder } from '../support/tiny-llama-folder.js';

const folder = temporaryFolder('cli-verify');
const lockFile = path.join(folder, 'out.run', 'lock.json');
const run = (...args: string[]) => runBitwright(['verify', ...args], { cwd: folder });
const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');
const lockNow = (): RunLock => JSON.parse(readFileSync(lockFile, 'utf8')) as RunLock;

interface Answer {
  identical: boolean;
  differences: { kind: string; name: string; message: string }[];
  again: { files: number; tensors: number } | null;
}

before(async () => {
  requireBuild('cli', 'server', 'worker');
  await finishRun(folder);
});

test('the lock holds the hashes of the files as any tool computes them', () => {
  const checked = asLock(lockNow());
  assert.ok('lock' in checked, 'error' in checked ? checked.error : '');
  const { lock } = checked;
  assert.deepEqual(
    lock.files.map(({ name }) => name).sort(),
    (readdirSync(path.join(folder, 'out'), { recursive: true }) as string[]).sort(),
  );
  for (const { name, sha256: hash } of lock.files) assert.equal(hash, sha256(path.join(folder, 'out', name)), name);
  for (const { name, sha256: hash } of lock.inputs) assert.equal(hash, sha256(name), name);
  const inputs = lock.inputs.map(({ name }) => path.relative(folder, name));
  for (const name of ['model/model.safetensors', 'model/config.json', 'rows.jsonl']) assert.ok(inputs.includes(name), name);
  assert.deepEqual({ documents: lock.tokens?.documents, tokens: lock.tokens?.tokens }, { documents: 8, tokens: 8 * 24 });
  assert.equal(lock.native_core.files[0]?.name, 'bitwright.node');
  assert.ok(lock.tensors.some(({ name }) => name === 'model.layers.1.mlp.down_proj.weight_packed'));
});

test('the same bytes come out at another number of threads, and nothing is left behind', async () => {
  const names = readdirSync(folder);
  const { code, stdout, stderr } = await run('out', '--threads', '1');
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^Bit-identical: \d+ files and \d+ tensors after /m);
  assert.deepEqual(readdirSync(folder), names);
});

test('a tensor that comes out otherwise is named, and so is the version', async () => {
  const whole = readFileSync(lockFile);
  const lock = lockNow();
  const tensor = lock.tensors.find(({ name }) => name === 'model.layers.0.self_attn.q_proj.weight_packed');
  assert.ok(tensor);
  tensor.sha256 = '0'.repeat(64);
  const file = lock.files.find(({ name }) => name === tensor.file);
  assert.ok(file);
  file.sha256 = '1'.repeat(64);
  lock.bitwright_version = '0.0.1';
  writeFileSync(lockFile, JSON.stringify(lock));
  const { code, stdout, stderr } = await run('out', '--json');
  writeFileSync(lockFile, whole);
  assert.equal(code, 1, stderr);
  const answer = JSON.parse(stdout) as Answer;
  assert.equal(answer.identical, false);
  assert.deepEqual(
    answer.differences.filter(({ kind }) => kind === 'output').map(({ name }) => name),
    ['model.layers.0.self_attn.q_proj.weight_packed'],
  );
  assert.match(
    answer.differences.find(({ kind }) => kind === 'environment')?.message ?? '',
    /the version of Bitwright was 0\.0\.1 and is /,
  );
});

test('a byte of the weights or a row of the text that has changed is found before anything runs', async () => {
  for (const [name, change] of [
    ['model/model.safetensors', (bytes: Buffer) => bytes.fill(bytes.at(-1) === 7 ? 8 : 7, bytes.length - 1)],
    ['rows.jsonl', (bytes: Buffer) => Buffer.from(bytes.toString().replace('31', '32'))],
  ] as const) {
    const file = path.join(folder, name);
    copyFileSync(file, `${file}.kept`);
    writeFileSync(file, change(readFileSync(file)));
    const { code, stdout } = await run('out.run');
    copyFileSync(`${file}.kept`, file);
    rmSync(`${file}.kept`);
    assert.equal(code, 1);
    assert.match(stdout, /^Not run again/);
    assert.match(stdout, new RegExp(`^ {2}\\S*${name} has changed since: the same .* other content$`, 'm'));
    assert.equal(stdout.trim().split('\n').length, 2);
  }
});

test('what is missing or no lock (lock-invalid) is said', async () => {
  const whole = readFileSync(lockFile);
  writeFileSync(lockFile, '{"lock_version": 1}');
  const broken = await run('out');
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /The lock of the run does not fit this version of Bitwright/);
  rmSync(lockFile);
  const none = await run('out');
  assert.equal(none.code, 1);
  assert.match(none.stderr, /There is no .*lock\.json: .*Quantize the recipe again/);
  writeFileSync(lockFile, whole);
});
