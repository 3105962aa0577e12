// Story: a folder whose authors are not trusted: recipes are checked, mended and planned; what would run something says that it is off, and nothing is written.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { openVscodeWindow } from '../../support/vscode-window.js';

const recipe = `model: models/stories-and-sums-1m
output:
  dir: out/untrusted
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W4A61
      targets: [Linear]
      ignore: [lm_head]
`;

test('in a folder that is not trusted recipes are edited and nothing runs', async () => {
  await using window = await openVscodeWindow({ isTrusted: false, files: { 'untrusted.quant.yaml': recipe } });
  const { page } = window;
  await page.locator('.statusbar-item', { hasText: 'Restricted Mode' }).waitFor();
  await window.open('untrusted.quant.yaml');

  // Checked, and mended by the light bulb.
  await page.locator('.squiggly-error').first().waitFor();
  await page.locator('.view-line span span', { hasText: 'W4A61' }).last().click();
  await page.keyboard.press('Control+.');
  await page.locator('.action-widget .monaco-list-row', { hasText: 'Change to W4A16' }).first().waitFor();
  await page.waitForTimeout(300);
  await page.keyboard.press('Enter');
  await page.locator('.view-line', { hasText: 'W4A16' }).waitFor();
  await page.locator('.codelens-decoration', { hasText: 'of 30 layers' }).waitFor();
  await page.keyboard.press('Control+S');

  for (const command of ['Quantize', 'Analyze Layer Sensitivity']) {
    await window.run(`Bitwright: ${command}`);
    const warning = window.notification('not trusted');
    await warning.waitFor();
    assert.match((await warning.textContent()) ?? '', /Trust the workspace/);
    if (command === 'Quantize') await window.takePicture('untrusted');
    await window.run('Notifications: Clear All Notifications');
    await warning.waitFor({ state: 'detached' });
  }
  await window.run('Bitwright: Show Plan');
  await window.webview().locator('h1', { hasText: 'Plan of untrusted.quant.yaml' }).waitFor();
  assert.deepEqual(window.workers(), []);
  assert.ok(!existsSync(path.join(window.folder, 'out')));
});
