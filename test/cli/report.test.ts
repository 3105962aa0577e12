// `bitwright report`: the text, JSON and page of a run folder; what is missing is named.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import type { RunReport } from '../../schemas/src/generated/report.js';
import { requireBuild, runBitwright } from '../support/bitwright-process.js';
import { finishRun } from '../support/finished-run.js';
import { temporaryFolder } from '../support/tiny-llama-folder.js';

const folder = temporaryFolder('cli-report');
const dir = path.join(folder, 'out.run');
const run = (...args: string[]) => runBitwright(['report', ...args], { cwd: folder });

before(async () => {
  requireBuild('cli', 'server', 'worker', 'webviews');
  await finishRun(folder);
});

test('by its folder, its file or the checkpoint beside it', async () => {
  const [first, ...others] = await Promise.all(['out.run', 'out', path.join('out.run', 'report.json')].map((name) => run(name)));
  assert.equal(first?.code, 0, first?.stderr);
  assert.match(first?.stdout ?? '', /^Quantized 14 layers in /m);
  for (const other of others) assert.equal(other.stdout, first?.stdout);
  const json = await run('out', '--json');
  assert.equal((JSON.parse(json.stdout) as RunReport).layers.length, 14);
});

test('the page holds everything, and its policy lets its own scripts alone run', async () => {
  const { code, stderr } = await run('out', '--html', 'page.html');
  assert.equal(code, 0, stderr);
  const page = readFileSync(path.join(folder, 'page.html'), 'utf8');
  assert.doesNotMatch(page, /<(?:script|link|img)[^>]* (?:src|href)=/);
  const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1] ?? '';
  assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']*' 'sha256-[^']*'; style-src 'sha256-[^']*'; img-src data: blob:$/);
  const scripts = [...page.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(([, text = '']) => text);
  assert.equal(scripts.length, 2);
  for (const text of [...scripts, /<style>([\s\S]*?)<\/style>/.exec(page)?.[1] ?? ''])
    assert.ok(policy.includes(createHash('sha256').update(text).digest('base64')));
  const embedded = JSON.parse(/id="embedded">([\s\S]*?)<\/script>/.exec(page)?.[1] ?? '') as { base64: Record<string, string> };
  assert.deepEqual(Object.keys(embedded.base64).sort(), ['blocks/000.arrays.bin', 'blocks/001.arrays.bin', 'blocks/depth.arrays.bin']);
  for (const [name, base64] of Object.entries(embedded.base64))
    assert.deepEqual(Buffer.from(base64, 'base64'), readFileSync(path.join(dir, name)));
});

test('a run that has not ended has no report yet, and what helps is said', async () => {
  const began = path.join(folder, 'began.run');
  mkdirSync(began);
  writeFileSync(path.join(began, 'running.json'), '{}');
  for (const name of ['began', 'began.run']) {
    const { code, stderr } = await run(name);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^The run in .*began\.run has no report yet: it is at work, or was interrupted\. bitwright quantize with its recipe goes on/,
    );
  }
});

test('what is missing is named', async () => {
  const none = await run('nothing');
  assert.equal(none.code, 1);
  assert.match(none.stderr, /There is no .*nothing.report\.json\. A run writes its report into <output\.dir>\.run/);
  rmSync(path.join(dir, 'blocks', '001.arrays.bin'));
  assert.match((await run('out', '--html', 'page.html')).stderr, /001\.arrays\.bin, which the report names, cannot be read/);
  writeFileSync(path.join(dir, 'report.json'), '{"report_version": 1}');
  assert.match((await run('out')).stderr, /is not a report of this version/);
  writeFileSync(path.join(dir, 'report.json'), '{');
  assert.match((await run('out')).stderr, /is not JSON/);
});
