// The mark of a run in its folder, with several processes at once.
import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { RUNNING_FILE, type RunningMark } from '../../../schemas/src/unfinished-run.js';
import { inTemporaryFolder } from '../../support/worker-run.js';

/** As a process leaves it that was killed: no process has the number, which is above what Linux gives. */
const stale = JSON.stringify({
  run_id: 'gone',
  pid: 2 ** 22 + 1,
  started_at: '2026-11-22T01:00:00.000Z',
  recipe: null,
  recipe_sha256: '',
  n_units: 1,
} satisfies RunningMark);

async function answerOf(child: ChildProcess, runDir: string): Promise<string> {
  const answer = once(child, 'message');
  child.send(runDir);
  return String((await answer)[0]);
}

test('of several runs that find the mark of a dead one at once, one takes the folder and the others are refused', () =>
  inTemporaryFolder(async (dir) => {
    const children = Array.from({ length: 4 }, () => fork(path.join(__dirname, '../../support/running-mark-process.js')));
    try {
      for (let round = 0; round < 10; round += 1) {
        const runDir = path.join(dir, `${round}.run`);
        mkdirSync(runDir);
        writeFileSync(path.join(runDir, RUNNING_FILE), stale);
        // Every third time what a killed process left when it was about to take the folder stands there too.
        if (round % 3 === 0) writeFileSync(path.join(runDir, `${RUNNING_FILE}.stale`), stale);
        const answers = await Promise.all(children.map((child) => answerOf(child, runDir)));
        assert.deepEqual([...answers].sort(), ['output-in-use', 'output-in-use', 'output-in-use', 'runs'], `round ${round}`);
        const owner = children[answers.indexOf('runs')]?.pid;
        assert.equal((JSON.parse(readFileSync(path.join(runDir, RUNNING_FILE), 'utf8')) as RunningMark).pid, owner);
        assert.deepEqual(readdirSync(runDir), [RUNNING_FILE]);
      }
    } finally {
      children.forEach((child) => child.kill());
    }
  }));
