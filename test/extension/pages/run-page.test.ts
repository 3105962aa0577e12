// The page of a run in progress in a browser, as it ships: cells fill as events come, the cancel button keeps the focus, no violation that axe finds in four themes and at 360 px, names never run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterEvent, outlineOf, type LiveRun } from '../../../schemas/src/live-run.js';
import type { RunEvent } from '../../../schemas/src/run-event.js';
import { axeViolations } from '../../support/axe.js';
import { liveRun } from '../../support/live-run-fixture.js';
import { tabTo } from '../../support/page-checks.js';
import { reportLayers } from '../../support/report-fixture.js';
import { openWebviewWindow, pageThemes } from '../../support/webview-window.js';

const memory = { now_bytes: 40e6, peak_bytes: 90e6, limit_bytes: 160e6 };

/** Half of the layers are finished. */
function halfWay(): LiveRun {
  const run_id = 'run';
  const layers = reportLayers(6);
  const events: RunEvent[] = [
    {
      kind: 'run-began',
      run_id,
      run_dir: '/out.run',
      n_blocks: 6,
      n_layers: layers.length,
      resumed_blocks: 0,
      device: 'A processor (cpu)',
    },
    ...[0, 1, 2].flatMap((block): RunEvent[] => [
      { kind: 'stage-began', run_id, stage: 'calibrate', block, detail: '' },
      { kind: 'stage-ended', run_id, stage: 'calibrate', block, seconds: 4, memory },
      { kind: 'stage-began', run_id, stage: 'quantize', block, detail: '' },
      ...layers.filter((layer) => layer.block === block).map((layer): RunEvent => ({ kind: 'layer-finished', run_id, layer })),
      { kind: 'stage-ended', run_id, stage: 'quantize', block, seconds: 2, memory },
    ]),
    { kind: 'stage-began', run_id, stage: 'calibrate', block: 3, detail: '' },
    { kind: 'progress', run_id, fraction: 0.52, eta_seconds: 21, message: 'calibrating block 3' },
    {
      kind: 'problem',
      run_id,
      problem: {
        code: 'gptq-damping-raised',
        severity: 'warning',
        message: '<img src=x onerror=alert(1)> was raised',
        layer: null,
        recipe_path: null,
      },
    },
  ];
  return events.reduce(afterEvent, liveRun(6));
}

test('cells fill, axe finds nothing, nothing is too wide, in four themes and at 360 px', async () => {
  await using window = await openWebviewWindow('run');
  for (const theme of pageThemes)
    for (const width of [1000, 360]) {
      await window.page.setViewportSize({ width, height: 900 });
      await window.setTheme(theme);
      await window.send({ kind: 'show-run', run: halfWay() });
      await window.page.locator('#heatmap .cell').first().waitFor();
      assert.equal(await window.page.locator('#heatmap .cell-fill').count(), 21);
      assert.equal(await window.page.locator('#heatmap .cell-empty').count(), 21);
      await window.page.locator('details summary').click();
      assert.deepEqual(await axeViolations(window.page), [], `${theme}, ${width} px`);
      await window.page.locator('details summary').click();
      const overflow = await window.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide at ${width} px`);
      await window.takePicture(`run-page-${theme}-${width}`);
    }
  assert.deepEqual(window.failures, []);
});

test('what is drawn anew leaves the focus; cancel and report are sent; the end is said', async () => {
  await using window = await openWebviewWindow('run');
  const { page } = window;
  const half = halfWay();
  await window.send({ kind: 'show-run', run: half });
  await page.locator('#cancel').focus();
  await window.send({ kind: 'show-run', run: { ...half, fraction: 0.6 } });
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'cancel');
  await page.keyboard.press('Enter');
  assert.equal((await window.sent('cancel-run')).length, 1);
  const row = page.locator('#stages tr', { hasText: 'calibrate' });
  assert.match((await row.textContent()) ?? '', /running3.*12.*s.*12.*s/);
  await page.locator('.cell[tabindex="0"]').focus();
  await page.keyboard.press('ArrowRight');
  const name = await page.evaluate(() => document.activeElement?.getAttribute('data-key'));
  await window.send({ kind: 'show-run', run: { ...half, fraction: 0.7 } });
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('data-key')), name);
  const ended = afterEvent(half, {
    kind: 'run-ended',
    run_id: 'run',
    outcome: 'completed',
    report_dir: '/out.run',
    output_dir: '/out',
    failure: null,
  });
  await window.send({ kind: 'show-run', run: ended });
  await page.locator('#report').click();
  assert.equal((await window.sent('open-report')).length, 1);
  assert.equal(await page.locator('#spoken').textContent(), 'The run is completed');
  assert.equal(await page.locator('img').count(), 0);
});

test('what is told from the disk: continued where it was interrupted, followed in another process, and kept over a reload', async () => {
  await using window = await openWebviewWindow('run');
  const { page } = window;
  const half = { ...halfWay(), stages: [], memory: null, problems: [] };
  await window.send({ kind: 'show-run', run: { ...half, outcome: 'elsewhere', fraction: 0.5 } });
  await page.locator('.state', { hasText: '50 % Another process works on it' }).waitFor();
  for (const id of ['#cancel', '#continue', '#report']) assert.ok(await page.locator(id).isHidden(), id);
  await window.send({ kind: 'show-run', run: { ...half, outcome: 'interrupted', fraction: 0.5 } });
  await page.locator('.state', { hasText: 'Interrupted: its process is gone' }).waitFor();
  await page.locator('#memory', { hasText: 'Not known' }).waitFor();
  assert.equal(await page.locator('#heatmap .cell-fill').count(), 21);
  assert.deepEqual(await axeViolations(page), []);
  await tabTo(page, '#continue');
  await page.keyboard.press('Enter');
  assert.equal((await window.sent('continue-run')).length, 1);
  // It goes on in this window: the focus stays among the buttons.
  await window.send({ kind: 'show-run', run: half });
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'cancel');
  const state = await page.evaluate(() => JSON.parse(sessionStorage.getItem('state') ?? '{}') as { saved: unknown });
  assert.deepEqual(state.saved, JSON.parse(JSON.stringify(outlineOf(half))));
  await window.send({ kind: 'show-run', run: { ...half, outcome: 'gone' } });
  await page.locator('.state', { hasText: 'Nothing of this run is on the disk any more.' }).waitFor();
  assert.deepEqual(window.failures, []);
});
