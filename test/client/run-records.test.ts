// The list of runs: read from reports on disk, sorted, and what is no report told.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { keptRuns, readRun, sortedRuns, type RunRecord } from '../../client/src/run-records.js';
import { runReport } from '../support/report-fixture.js';

async function readFrom(parts: string[], text: string): ReturnType<typeof readRun> {
  const root = mkdtempSync(path.join(os.tmpdir(), 'bitwright-runs-'));
  try {
    const file = path.join(root, ...parts, 'report.json');
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    return await readRun(file);
  } finally {
    rmSync(root, { recursive: true });
  }
}

async function record(parts: string[], changes: Parameters<typeof runReport>[0]): Promise<RunRecord> {
  const found = await readFrom(parts, JSON.stringify(runReport({ finished_at: '2026-01-01T00:00:00.000Z', ...changes })));
  assert.ok('run' in found, JSON.stringify(found));
  return found.run;
}

test('a report: its name, figures, and whether another run came after it', async () => {
  const run = await record(['w4a16.run'], {});
  assert.deepEqual(
    [run.name, run.outcome, run.bits_per_weight, run.perplexity_before, run.perplexity_after, run.seconds, run.isEarlier],
    ['w4a16', 'completed', 4.13, 1.5, 1.5015, 12.34, false],
  );
  const earlier = await record(['w4a16.history', '2026-01-01T00-00-00.000Z'], { quality: null });
  assert.deepEqual([earlier.name, earlier.isEarlier, earlier.perplexity_after], ['w4a16', true, null]);
});

test('newest first; a copy of the report that still stands counts once', async () => {
  const runs = await Promise.all([
    record(['a.run'], { run_id: '1', finished_at: '2026-01-01T00:00:00.000Z' }),
    record(['b.run'], { run_id: '2', finished_at: '2026-01-03T00:00:00.000Z' }),
    record(['b.history', 'x'], { run_id: '2', finished_at: '2026-01-03T00:00:00.000Z' }),
    record(['b.history', 'y'], { run_id: '3', finished_at: '2026-01-02T00:00:00.000Z' }),
  ]);
  assert.deepEqual(
    sortedRuns(runs).map(({ run_id, name }) => [run_id, name]),
    [
      ['2', 'b'],
      ['3', 'b'],
      ['1', 'a'],
    ],
  );
});

test('what is no report says so', async () => {
  for (const text of ['{', 'null', '[]', '{"run_id": 3}', '{}']) {
    const found = await readFrom(['a.run'], text);
    assert.ok('fault' in found);
    assert.match(found.fault, /report\.json (cannot be read|is no report of a run).*Delete it, or run the recipe again\./);
  }
});

test('of 300 runs a list reads again the one whose report is another, and those that could not be read', async () => {
  const root = mkdtempSync(path.join(os.tmpdir(), 'bitwright-runs-'));
  try {
    const files = Array.from({ length: 300 }, (_, at) => path.join(root, `r${at}.run`, 'report.json'));
    const write = (file: string, seconds: number): void => {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(`${file}.new`, JSON.stringify(runReport({ finished_at: '2026-01-01T00:00:00.000Z', seconds })));
      renameSync(`${file}.new`, file);
    };
    files.forEach((file) => write(file, 1));
    writeFileSync(files[7]!, '{');
    let n_together = 0;
    const asked: { file: string; together: number }[] = [];
    const list = keptRuns(async (file) => {
      n_together += 1;
      asked.push({ file, together: n_together });
      const found = await readRun(file);
      n_together -= 1;
      return found;
    });
    const first = await list(files);
    assert.equal(asked.length, 300);
    assert.ok(Math.max(...asked.map(({ together }) => together)) <= 8, 'reports are not all held at once');
    asked.length = 0;
    write(files[3]!, 2);
    const second = await list(files.slice(0, -1));
    assert.deepEqual(
      asked.map(({ file }) => file),
      [files[3], files[7]],
    );
    const changed = second[3]!;
    assert.ok('run' in changed && changed.run.seconds === 2);
    assert.deepEqual(
      second.filter((_, at) => at !== 3),
      first.slice(0, -1).filter((_, at) => at !== 3),
    );
  } finally {
    rmSync(root, { recursive: true });
  }
});
