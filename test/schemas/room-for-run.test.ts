// Disk that a run can use: what an unfinished run has left in its folder is not asked for twice.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { roomForRun } from '../../schemas/src/room-for-run.js';

test('shards and a checkpoint that was begun count as room, reports do not', async (context) => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'bitwright-room-'));
  context.after(() => rmSync(dir, { recursive: true }));
  // Counted in apparent sizes: holes take no disk, so that the test needs none and what other programs write stays far below.
  const piece = 2 ** 36;
  const [run, other] = [path.join(dir, 'out.run'), path.join(dir, 'other.run')];
  for (const part of ['blocks/000.safetensors', 'blocks/001.safetensors', 'checkpoint/model.safetensors', 'report.json', 'arrays/a.bin']) {
    mkdirSync(path.dirname(path.join(run, part)), { recursive: true });
    writeFileSync(path.join(run, part), '');
    truncateSync(path.join(run, part), piece);
  }
  const { bavail, bsize } = statfsSync(dir);
  const [held, none] = [await roomForRun(run), await roomForRun(other)];
  assert.ok(held !== null && none !== null);
  assert.equal(Math.round((held - none) / piece), 3);
  assert.ok(Math.abs(none - bavail * bsize) < piece / 2);
});
