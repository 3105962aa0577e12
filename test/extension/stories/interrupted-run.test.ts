// Stories: a run is cancelled, its worker is killed, its window is reloaded; each time it is taken up again, and the checkpoint is the one of a run that nobody disturbed.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { hoverUntil } from '../../support/hover.js';
import { assertUndisturbed, holdRun, longOutput, longRecipe, longRunFiles } from '../../support/long-run.js';
import { openVscodeWindow, runPatience } from '../../support/vscode-window.js';

test('cancel, resume, kill the worker, resume: the same bytes', async () => {
  await using window = await openVscodeWindow({ files: longRunFiles() });
  const { page } = window;
  await window.open(longRecipe);
  await window.run('Bitwright: Quantize');
  const first = await holdRun(window, 1);
  await window.notification('Quantizing long.quant.yaml').getByRole('button', { name: 'Cancel' }).click();
  await page.locator('.statusbar-item', { hasText: 'Cancelling' }).waitFor();
  first.release();
  await window.notification('The run was cancelled').waitFor({ timeout: runPatience });
  await window.takePicture('cancelled');
  assert.ok(!existsSync(longOutput(window)), 'a cancelled run leaves no checkpoint');

  await window.answer('The run was cancelled', 'Resume');
  const second = await holdRun(window, 2);
  process.kill(second.worker, 'SIGKILL');
  const killed = window.notification(/worker/i);
  await killed.waitFor();
  await window.takePicture('worker-killed');
  assert.ok(!existsSync(longOutput(window)), 'a killed run leaves no checkpoint');

  // The editor is well: diagnostics still answer what is typed.
  await page.locator('.editor-instance .view-line', { hasText: 'max_seq_length' }).click();
  await page.keyboard.press('End');
  await page.keyboard.type('x');
  await page.locator('.editor-instance .squiggly-error').first().waitFor();
  await page.keyboard.press('Backspace');
  await page.locator('.editor-instance .squiggly-error').first().waitFor({ state: 'detached' });

  await window.answer(/worker/i, 'Run Again');
  await window.notification('Quantized.').waitFor({ timeout: runPatience });
  assert.deepEqual(window.workers().length, 1);

  await assertUndisturbed(window);
});

test('the window is reloaded in the middle of a run: it stands in the list as interrupted, and continues to the same bytes', async () => {
  await using window = await openVscodeWindow({ files: longRunFiles(40) });
  const { page } = window;
  await window.open(longRecipe);
  await window.run('Bitwright: Quantize');
  using held = await holdRun(window, 1);
  await window.reload();
  await held.outliveHost();
  assert.ok(!existsSync(longOutput(window)), 'a run that lost its window leaves no checkpoint');
  assert.deepEqual(window.workers(), [], 'the worker ends with its window');

  const told = window.notification('The run of long.quant.yaml was interrupted');
  await told.waitFor();
  await page.locator('.activitybar .action-label[aria-label^="Bitwright"]').click();
  const row = page.locator('.monaco-list-row[role="treeitem"]', { hasText: /longinterrupted, \d of \d parts finished/ });
  await row.waitFor();
  await window.takePicture('interrupted-run');
  const again = row.locator('.action-label[aria-label="Continue Run"]');
  await hoverUntil(row, again);
  await again.click();
  using continued = await holdRun(window, 2);
  await page.locator('.monaco-list-row[role="treeitem"]', { hasText: /longrunning/ }).waitFor();
  continued.release();
  await window.notification('Quantized.').waitFor({ timeout: runPatience });
  await row.waitFor({ state: 'detached' });
  await page.locator('.monaco-list-row[role="treeitem"]', { hasText: /long.*bits per weight/ }).waitFor();
  await assertUndisturbed(window);
});

test('the page of a run outlives its window: interrupted as the disk tells, continued from it to its end', async () => {
  await using window = await openVscodeWindow({ files: longRunFiles(40) });
  const { page } = window;
  await window.open(longRecipe);
  await window.run('Bitwright: Quantize');
  using held = await holdRun(window, 1);
  await page.locator('.statusbar-item', { hasText: /Quantizing \d+ %/ }).click();
  await page.locator('.tab.active', { hasText: 'Run in Progress' }).waitFor();
  const live = window.webview();
  await live.locator('#heatmap .cell-fill').first().waitFor();
  await window.reload();
  await held.outliveHost();
  await page.locator('.tab', { hasText: 'Run in Progress' }).click();
  // At work until the worker has noticed that its window is gone.
  await live.locator('.state', { hasText: 'Interrupted: its process is gone' }).waitFor();
  assert.equal(await live.locator('#heatmap .cell').count(), 28);
  const n_kept = await live.locator('#heatmap .cell-fill').count();
  assert.ok(n_kept >= 7 && n_kept < 28, `${n_kept} cells are kept`);
  await window.run('Notifications: Clear All Notifications');
  await window.takePicture('run-interrupted');
  await live.locator('#continue').click();
  await window.notification('Quantized.').waitFor({ timeout: runPatience });
  await page.locator('.tab', { hasText: 'Run in Progress' }).click();
  await live.locator('.state', { hasText: 'Done.' }).waitFor();
  assert.equal(await live.locator('#heatmap .cell-fill').count(), 28);
  // An ended run comes back as its report tells.
  await window.reload();
  await page.locator('.tab', { hasText: 'Run in Progress' }).click();
  await live.locator('.state', { hasText: 'Done.' }).waitFor();
  assert.ok(await live.locator('#report').isVisible());
});
