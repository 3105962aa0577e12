// What the canary saw, on the page of a run and on that of a report, as they ship: four themes, narrow, by keyboard, read aloud near its limit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LiveRun } from '../../../schemas/src/live-run.js';
import { canary } from '../../support/canary-fixture.js';
import { liveRun } from '../../support/live-run-fixture.js';
import { checkThemes, tabTo } from '../../support/page-checks.js';
import { reportLayers, runReport } from '../../support/report-fixture.js';
import { openWebviewWindow } from '../../support/webview-window.js';

const watched = (n_blocks: number, limit?: number): LiveRun => ({
  ...liveRun(6),
  n_blocks: 6,
  fraction: 0.5,
  canary: { ...canary(n_blocks, limit) },
});

test('the page of a run: axe finds no violation and nothing is wider than the page, in four themes and at 360 px', async () => {
  await using window = await openWebviewWindow('run');
  await checkThemes(window, {
    name: 'run-canary',
    show: async () => {
      await window.send({ kind: 'show-run', run: watched(5) });
      await window.page.locator('#canary svg').waitFor();
    },
    settle: () => window.page.locator('#canary').scrollIntoViewIfNeeded(),
  });
});

test('the line grows as blocks are measured, the keyboard reaches the table, and a canary near its limit is said', async () => {
  await using window = await openWebviewWindow('run');
  const { page } = window;
  await window.send({ kind: 'show-run', run: watched(0) });
  assert.match((await page.locator('#canary').textContent()) ?? '', /not measured yet; every block/);
  await window.send({ kind: 'show-run', run: watched(3) });
  assert.equal(await page.locator('#canary circle').count(), 3);
  assert.equal(await page.locator('#canary tbody tr').count(), 3);
  assert.equal(await page.locator('#spoken').textContent(), '50 percent');
  await tabTo(page, '#canary');
  await window.send({ kind: 'show-run', run: watched(4) });
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'canary');
  assert.equal(await page.locator('#spoken').textContent(), '50 percent');
  await window.send({ kind: 'show-run', run: watched(4, 0.4) });
  assert.equal(await page.locator('#spoken').textContent(), '50 percent, canary at 60 percent of its limit');
  assert.match(
    (await page.locator('#canary svg').getAttribute('aria-label')) ?? '',
    /behind 4 blocks, and the limit: 0\.243 ± 0\.02 nats behind block 3/,
  );
  await window.send({ kind: 'show-run', run: { ...watched(0), canary: null } });
  assert.deepEqual(window.failures, []);
});

test('a run without a canary has no panel of it', async () => {
  await using window = await openWebviewWindow('run');
  await window.send({ kind: 'show-run', run: liveRun(2) });
  await window.page.locator('#heatmap .cell').first().waitFor();
  assert.equal(await window.page.locator('#canary').count(), 0);
});

test('the report of a run that stopped: four themes and 360 px', async () => {
  await using window = await openWebviewWindow('report');
  const layers = reportLayers(5).map((layer) => ({ ...layer, histogram: null, grid: null }));
  const report = runReport({
    layers,
    outcome: 'failed',
    output_dir: null,
    canary: canary(5),
    recipe: { path: '/r/mine.quant.yaml', sha256: '', text: '' },
  });
  await checkThemes(window, {
    name: 'report-canary',
    show: async () => {
      await window.send({ kind: 'show-report', report, arrays: { base64: {} }, saved: null });
      await window.page.locator('#canary svg').waitFor();
    },
    settle: () => window.page.locator('#canary').scrollIntoViewIfNeeded(),
  });
});
