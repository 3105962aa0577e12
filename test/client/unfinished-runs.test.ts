// Runs without an end: at work while their process is there, interrupted when it is gone.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { isSameRecipe, readUnfinishedRun } from '../../client/src/unfinished-runs.js';
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
