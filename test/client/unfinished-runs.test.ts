// Runs without an end: at work while their process is there, interrupted when it is gone.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { interruptedRun, isSameRecipe, readUnfinishedRun } from '../../client/src/unfinished-runs.js';
import { processBegan } from '../../schemas/src/run-process.js';
import { RUNNING_FILE, type RunningMark } from '../../schemas/src/unfinished-run.js';
import { temporaryFolder } from '../support/tiny-llama-folder.js';

const text = 'model: m\n';

function markedFolder(mark: Partial<RunningMark>, journal: string | null): string {
  const dir = path.join(temporaryFolder('unfinished-run'), 'w4a16.run');
  mkdirSync(dir, { recursive: true });
  const whole: RunningMark = {
    run_id: 'r',
    pid: process.pid,
    started_at: '2026-01-01T00:00:00.000Z',
    recipe: '/recipes/mine.quant.yaml',
    recipe_sha256: createHash('sha256').update(text).digest('hex'),
    n_units: 6,
    ...mark,
  };
  writeFileSync(path.join(dir, RUNNING_FILE), JSON.stringify(whole));
  if (journal !== null) writeFileSync(path.join(dir, 'journal.jsonl'), journal);
  return path.join(dir, RUNNING_FILE);
}

test('running while its process is there, interrupted after', async () => {
  const running = await readUnfinishedRun(markedFolder({}, null));
  assert.deepEqual([running?.name, running?.isRunning, running?.n_finished], ['w4a16', true, 0]);
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  // A line that was cut short is no finished part.
  const interrupted = await readUnfinishedRun(markedFolder({ pid: gone }, '{}\n{}\n{"unit":'));
  assert.deepEqual([interrupted?.isRunning, interrupted?.n_finished, interrupted?.n_units], [false, 2, 6]);
});

test('a number that another process has now, or one that has ended and waits for its parent, is not the process of the run', async (context) => {
  if (process.platform !== 'linux') return context.skip('only Linux says when a process began');
  const reused = await readUnfinishedRun(markedFolder({ process_began: '1' }, null));
  assert.equal(reused?.isRunning, false);
  // The shell becomes another program, which never asks for the child that it has been left.
  const parent = spawn('sh', ['-c', 'read line <&3 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  try {
    const pid = Number(String(((await once(parent.stdout!, 'data')) as [Buffer])[0]));
    const file = markedFolder({ pid, process_began: (await processBegan(pid)) ?? '' }, null);
    assert.equal((await readUnfinishedRun(file))?.isRunning, true);
    while (readFileSync(`/proc/${parent.pid}/comm`, 'utf8') !== 'sleep\n') await setTimeout(10);
    (parent.stdio[3] as Writable).end('\n');
    while ((await readUnfinishedRun(file))?.isRunning) await setTimeout(10);
    process.kill(pid, 0);
  } finally {
    parent.kill();
  }
});

test('a run at work is followed until its process is gone; one that ended in order, or gave way to another, was not interrupted', async () => {
  const child = spawn('sleep', ['60']);
  const gone = once(child, 'exit');
  const [killed, ended, another] = [0, 1, 2].map(() => markedFolder({ ...(child.pid === undefined ? {} : { pid: child.pid }) }, '{}\n'));
  const runs = [];
  for (const file of [killed, ended, another]) {
    const run = await readUnfinishedRun(file!);
    assert.ok(run?.isRunning);
    runs.push(interruptedRun(run));
  }
  rmSync(ended!);
  writeFileSync(another!, JSON.stringify({ run_id: 's', pid: process.pid, started_at: '', recipe: null, recipe_sha256: '', n_units: 6 }));
  child.kill('SIGKILL');
  await gone;
  // A timer that keeps no process alive waits for what it looks at.
  const alive = setInterval(() => undefined, 1000);
  const found = await Promise.all(runs);
  clearInterval(alive);
  assert.deepEqual(
    found.map((run) => run && [run.isRunning, run.n_finished]),
    [[false, 1], null, null],
  );
});

test('a mark that is gone or cut short is none', async () => {
  const file = markedFolder({}, null);
  writeFileSync(file, '{"run_id": "r", "pi');
  assert.equal(await readUnfinishedRun(file), null);
  writeFileSync(file, '{"run_id": 3}');
  assert.equal(await readUnfinishedRun(file), null);
  rmSync(file);
  assert.equal(await readUnfinishedRun(file), null);
});

test('a recipe with another text is not the one that the run began with', async () => {
  const run = await readUnfinishedRun(markedFolder({}, null));
  assert.ok(run);
  assert.deepEqual([isSameRecipe(run, text), isSameRecipe(run, `${text}# more\n`)], [true, false]);
});
