// Story: a run is watched as its layers finish and cancelled from its page, runs again to its end, is done again from its lock and found bit-identical; three chosen runs are compared.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { holdRun, longRecipe, longRunFiles } from '../../support/long-run.js';
import { runReport } from '../../support/report-fixture.js';
import { openVscodeWindow, runPatience, type VscodeWindow } from '../../support/vscode-window.js';

async function showRuns({ page }: VscodeWindow) {
  await page.locator('.activitybar .action-label[aria-label^="Bitwright"]').click();
  const runs = page.locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') }).locator('.monaco-list-row');
  await runs.first().waitFor();
  return runs;
}

test('watch a run, cancel it, run it to its end, run it again from its lock', async () => {
  await using window = await openVscodeWindow({ files: longRunFiles(40) });
  const { page, folder } = window;
  await window.open(longRecipe);
  await window.run('Bitwright: Quantize');
  // A run continues after whole blocks, and a cell is filled before its block is finished.
  using first = await holdRun(window, 1);
  await page.locator('.statusbar-item', { hasText: /Quantizing \d+ %/ }).click();
  await page.locator('.tab.active', { hasText: 'Run in Progress' }).waitFor();
  const live = window.webview();
  const filled = live.locator('#heatmap .cell-fill');
  const cells = live.locator('#heatmap .cell');
  await filled.nth(6).waitFor();
  assert.equal(await cells.count(), 28);
  const n_first = await filled.count();
  assert.ok(n_first < 28, `${n_first} cells filled at the first look`);
  await live.locator('#stages tr', { hasText: 'quantize' }).waitFor();
  await live.locator('#memory', { hasText: 'at most, of' }).waitFor();
  await window.takePicture('run-live');
  first.release();
  using second = await holdRun(window, 2);
  await filled.nth(13).waitFor();
  await live.locator('#cancel').click();
  await page.locator('.statusbar-item', { hasText: 'Cancelling' }).waitFor();
  second.release();
  await live.locator('.state', { hasText: 'Cancelled. What is finished is kept' }).waitFor({ timeout: runPatience });
  assert.ok(await live.locator('#cancel').isHidden());

  // The next run takes the page over: it begins with the cells that are finished, and fills the rest.
  await window.open(longRecipe);
  await window.run('Notifications: Clear All Notifications');
  await window.run('Bitwright: Quantize');
  await window.notification('Quantized.').waitFor({ timeout: runPatience });
  await page.locator('.tab', { hasText: 'Run in Progress' }).click();
  await live.locator('.state', { hasText: 'Done.' }).waitFor();
  assert.equal(await filled.count(), 28);
  await live.locator('#progress', { hasText: '28 of 28 layers finished, continued after' }).waitFor();

  await window.run('Notifications: Clear All Notifications');
  const runs = await showRuns(window);
  await window.chooseFromMenu(runs.first(), 'Re-run and Confirm Bit-Identical');
  await window.notification('Running out/long.run again').waitFor();
  await window
    .notification(/out\/long\.run is bit-identical: \d+ files and \d+ tensors came out as before/)
    .waitFor({ timeout: runPatience });
  await window.takePicture('run-verified');
  // The report of the cancelled run is kept; of the run that was done again nothing is.
  assert.deepEqual(readdirSync(path.join(folder, 'out')).sort(), ['long', 'long.history', 'long.run']);
});

test('three chosen runs compared from the list', async () => {
  const report = (part: Parameters<typeof runReport>[0]): string =>
    JSON.stringify({ ...runReport(part), recipe: { path: null, sha256: '', text: '' } });
  const at = (day: number): string => `2026-01-0${day}T10:00:00.000Z`;
  const quality = (perplexity: number) => ({
    before: null,
    after: { dataset: 'text.jsonl', perplexity, nll: 1, tokens: 100, documents: 1 },
  });
  await using window = await openVscodeWindow({
    files: {
      'out/a.run/report.json': report({ run_id: 'a', finished_at: at(1), quality: quality(3.5) }),
      'out/b.run/report.json': report({ run_id: 'b', finished_at: at(2), quality: quality(2.5) }),
      'out/c.run/report.json': report({ run_id: 'c', finished_at: at(3), quality: quality(3.25) }),
    },
  });
  const { page } = window;
  const runs = await showRuns(window);
  await runs.nth(2).waitFor();
  // A click opens the report, whose page takes the focus when it is there: a menu that is open then closes.
  await runs.nth(0).click();
  await page.locator('.tab.active', { hasText: 'Report: c' }).waitFor();
  await window.webview().locator('#heatmap .cell').first().waitFor();
  await runs.nth(2).click({ modifiers: ['Shift'] });
  await window.chooseFromMenu(runs.nth(1), 'Compare Runs');
  await page.locator('.tab.active', { hasText: 'Comparison of Runs' }).waitFor();
  const comparison = window.webview();
  await comparison.locator('h1', { hasText: '3 runs compared' }).waitFor();
  const rowsOf = comparison.locator('#all tbody tr');
  assert.equal(await rowsOf.count(), 3);
  assert.match((await rowsOf.nth(1).textContent()) ?? '', /2\.5000 best/);
  await window.showSideBar(false);
  for (const [theme, name] of [
    ['Dark Modern', 'comparison-three'],
    ['Light Modern', 'comparison-three-light'],
    ['Default High Contrast', 'comparison-three-high-contrast'],
  ] as const) {
    await window.setTheme(theme);
    await rowsOf.first().waitFor();
    await window.takePicture(name);
  }

  // One row: the others are asked for. And what the menu did before it still does: the question before a run is deleted.
  await window.showSideBar(true);
  await window.chooseFromMenu(runs.nth(1), 'Delete Run');
  await page.locator('.monaco-dialog-box', { hasText: 'Delete the run b?' }).waitFor();
  await page.keyboard.press('Escape');
});
