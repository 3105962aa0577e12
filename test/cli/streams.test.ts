// What the built command line does with its streams and signals: readers that leave, full disks, hostile names, Ctrl-C.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { printable } from '../../client/src/cli/terminal.js';
import { commandLinePath, requireBuild, runBitwright } from '../support/bitwright-process.js';
import { temporaryFolder, writeTinyLlama } from '../support/tiny-llama-folder.js';

const folder = temporaryFolder('cli-streams');
const windows = process.platform === 'win32' ? 'signals and closed pipes are different there' : false;

const recipe = (out: string): string => `model: model
output: {dir: ${out}}
quant_stage:
  quant_modifiers:
    QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}
`;

before(() => {
  requireBuild('cli', 'server', 'worker');
  writeTinyLlama(path.join(folder, 'model'), 'random');
  writeFileSync(path.join(folder, 'good.quant.yaml'), recipe('out'));
  writeFileSync(path.join(folder, 'bad.quant.yaml'), recipe('out').replace('W8A8', 'W5A5'));
});

const start = (args: string[], stdio: ('pipe' | number)[] = ['pipe', 'pipe', 'pipe']): ChildProcess =>
  spawn(process.execPath, [commandLinePath, ...args], { cwd: folder, stdio });

const exitOf = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.on('close', resolve));

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = '';
  for await (const chunk of stream ?? []) text += String(chunk);
  return text;
}

test('a reader that leaves at once changes neither the work nor the exit code', { skip: windows }, async () => {
  for (const [args, code] of [
    [['check', 'bad.quant.yaml'], 1],
    [['inspect', 'model', '--json'], 0],
    [['quantize', 'good.quant.yaml', '--json'], 0],
  ] as const) {
    const child = start([...args]);
    child.stdout?.destroy();
    child.stderr?.destroy();
    assert.equal(await exitOf(child), code, args.join(' '));
  }
  assert.ok(existsSync(path.join(folder, 'out', 'config.json')), 'the run went to its end');
});

test(
  'a result that cannot be written is said, and is no success',
  { skip: existsSync('/dev/full') ? false : 'needs /dev/full' },
  async () => {
    const child = start(['inspect', 'model'], ['pipe', openSync('/dev/full', 'w'), 'pipe']);
    const [stderr, code] = await Promise.all([textOf(child.stderr), exitOf(child)]);
    assert.equal(code, 1);
    assert.match(stderr, /^The output cannot be written: ENOSPC.*\n$/);
  },
);

test('control characters of names and sources reach no terminal', async () => {
  assert.equal(printable('a\tb\nc'), 'a\tb\nc');
  assert.equal(printable('\x1b[2J\x07\x7f\x9b\u202e'), '␛[2J␇␡\ufffd\ufffd');
  writeFileSync(path.join(folder, 'hostile.quant.yaml'), `${recipe('out')}# \x1b]0;title\x07\n`);
  const { code, stdout, stderr } = await runBitwright(['check', 'hostile.quant.yaml', 'none\x1b[31m.yaml'], { cwd: folder });
  assert.equal(code, 1);
  assert.doesNotMatch(stdout + stderr, /[\x00-\x08\x0b-\x1f]/);
  assert.match(stdout, /none␛\[31m\.yaml:1:1 error recipe-unreadable/);
});

/** Waits until the command has started its first process: its own handlers stand by then. */
async function firstChildOf({ pid }: ChildProcess): Promise<number> {
  for (;;) {
    const [child = ''] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    if (child !== '') return Number(child);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const notLinux = process.platform === 'linux' ? false : 'finds processes through /proc';

test('Ctrl-C before anything has begun: a word, exit 130, no folder, no process left', { skip: notLinux }, async () => {
  writeFileSync(path.join(folder, 'early.quant.yaml'), recipe('early'));
  const interrupted = async (args: string[]): Promise<void> => {
    const child = start(args);
    const begun = await firstChildOf(child);
    child.kill('SIGINT');
    const [stderr, code] = await Promise.all([textOf(child.stderr), exitOf(child)]);
    assert.equal(code, 130, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, /^Cancelled\.$/m);
    // The language server may look after its parent every three seconds only.
    await gone(begun);
  };
  await Promise.all([['check', 'good.quant.yaml'], ['devices'], ['quantize', 'early.quant.yaml']].map(interrupted));
  assert.ok(!existsSync(path.join(folder, 'early')));
});

test('a language server that is told to end takes its process with it', { skip: notLinux }, async () => {
  const child = start(['lsp']);
  const server = await firstChildOf(child);
  child.kill('SIGTERM');
  assert.equal(await exitOf(child), 130);
  await gone(server);
});

async function gone(pid: number): Promise<void> {
  for (let looks = 0; existsSync(`/proc/${pid}`); looks += 1) {
    assert.ok(looks < 600, `process ${pid} is still there after its parent has ended`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('a language server whose client is gone says so', async () => {
  const { code, stderr } = await runBitwright(['lsp'], { cwd: folder });
  assert.equal(code, 1);
  assert.match(stderr, /its input closed before a shutdown request came/);
});
