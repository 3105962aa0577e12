// A run as its folder tells it: at work elsewhere, interrupted, ended, gone.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readRunOnDisk } from '../../client/src/run-on-disk.js';
import { outlineOf, readOutline, type RunOutline } from '../../schemas/src/live-run.js';
import { RUNNING_FILE } from '../../schemas/src/unfinished-run.js';
import { liveRun } from '../support/live-run-fixture.js';
import { reportLayers, runReport } from '../support/report-fixture.js';
import { temporaryFolder } from '../support/tiny-llama-folder.js';

const layers = reportLayers(2);
const unit = (block: number): string =>
  `${JSON.stringify({ unit: block, shard: null, layers: layers.filter((layer) => layer.block === block), transforms: [], problems: [] })}\n`;

function runFolder(files: Record<string, string>): RunOutline {
  const output = path.join(temporaryFolder('run-on-disk'), 'w4a16');
  mkdirSync(`${output}.run`);
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(`${output}.run`, name), text);
  return outlineOf({ ...liveRun(2), output });
}

const mark = (pid: number): string =>
  JSON.stringify({ run_id: 'r', pid, started_at: '2026-01-01T00:00:00.000Z', recipe: '/r/mine.quant.yaml', recipe_sha256: '', n_units: 2 });
const n_finished = ({ layers: all }: { layers: readonly { metrics: unknown }[] }): number =>
  all.filter(({ metrics }) => metrics !== null).length;

test('while its process is there another works on it; then it was interrupted, with what the journal has', async () => {
  // The report is that of the run before.
  const files = {
    [RUNNING_FILE]: mark(process.pid),
    'journal.jsonl': `${unit(0)}{"unit":1,"lay`,
    'report.json': JSON.stringify(runReport()),
  };
  const outline = runFolder(files);
  const elsewhere = await readRunOnDisk(outline);
  assert.deepEqual([elsewhere.run.outcome, elsewhere.run.fraction, n_finished(elsewhere.run)], ['elsewhere', 0.5, 7]);
  assert.equal(elsewhere.run.layers.length, 14);
  writeFileSync(path.join(`${outline.output}.run`, RUNNING_FILE), mark(spawnSync(process.execPath, ['-e', '']).pid));
  const interrupted = await readRunOnDisk(outline);
  assert.deepEqual(
    [interrupted.run.outcome, interrupted.recipe, interrupted.unfinished?.n_finished],
    ['interrupted', '/r/mine.quant.yaml', 1],
  );
});

test('after its end the report tells; a folder that is gone says so', async () => {
  const outline = runFolder({ 'report.json': JSON.stringify(runReport({ layers })) });
  const ended = await readRunOnDisk(outline);
  assert.deepEqual([ended.run.outcome, ended.run.fraction, n_finished(ended.run)], ['completed', 1, 14]);
  assert.deepEqual([ended.run.device, ended.recipe, ended.unfinished], ['A processor (cpu)', '/recipes/mine.quant.yaml', null]);
  writeFileSync(
    path.join(`${outline.output}.run`, 'report.json'),
    JSON.stringify(runReport({ layers: layers.slice(0, 7), outcome: 'cancelled' })),
  );
  const cancelled = await readRunOnDisk(outline);
  assert.deepEqual([cancelled.run.outcome, cancelled.run.fraction], ['cancelled', 0.5]);
  rmSync(`${outline.output}.run`, { recursive: true });
  assert.equal((await readRunOnDisk(outline)).run.outcome, 'gone');
});

test('what the canary has measured comes from its file, and after the end from the report', async () => {
  const figures = [{ block: 0, mean_kld: 0.1, kld_stderr: 0.01, same_top: 0.9, tokens: 100 }];
  const canary = { max_mean_kld: 0.5, every: 1, figures };
  const files = { [RUNNING_FILE]: mark(process.pid), 'canary.json': JSON.stringify({ dataset: {}, figures }) };
  const outline = outlineOf({ ...liveRun(2), output: runFolder(files).output, canary });
  assert.deepEqual(outline.canary?.figures, []);
  assert.deepEqual((await readRunOnDisk(outline)).run.canary, canary);
  const dir = `${outline.output}.run`;
  for (const name of Object.keys(files)) rmSync(path.join(dir, name));
  writeFileSync(path.join(dir, 'report.json'), JSON.stringify(runReport({ layers, canary: { ...canary, dataset: 'rows' } })));
  assert.deepEqual((await readRunOnDisk(outline)).run.canary, canary);
});

test('a page keeps an outline; what another version kept is none', () => {
  const outline = outlineOf(liveRun(1));
  assert.deepEqual(readOutline(JSON.parse(JSON.stringify(outline))), outline);
  assert.ok(outline.layers.every(({ metrics }) => metrics === null));
  for (const other of [null, 'x', {}, { ...outline, layers: [{}] }, { ...outline, output: 3 }, { ...outline, canary: {} }])
    assert.equal(readOutline(other), null);
});
