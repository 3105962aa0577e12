// Story: a new recipe from the palette, filled in by completion, with hints and lenses that know the model, and its quick fix.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { hoverUntil } from '../../support/hover.js';
import { openVscodeWindow, runPatience } from '../../support/vscode-window.js';

const recipe = `model: models/stories-and-sums-1m

output:
  dir: out/mixed

quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W8A16
      targets: [Linear]
      ignore: [lm_head, "re:.*down_proj", o_prok]
`;

test('hints, lenses, hover and a quick fix with preview', async () => {
  await using window = await openVscodeWindow({ files: { 'mixed.quant.yaml': recipe } });
  const { page } = window;
  await window.open('mixed.quant.yaml');
  await page.locator('.view-lines', { hasText: '29 layers' }).waitFor();
  await page.locator('.view-lines', { hasText: /bits\sper\sweight/ }).waitFor();
  const shown = ((await page.locator('.editor-instance .view-lines').textContent()) ?? '').replaceAll('\u00a0', ' ');
  for (const hint of ['1 layer', '4 layers', '0 layers']) assert.ok(shown.includes(hint), `${hint} in ${shown}`);
  const lens = page.locator('.codelens-decoration', { hasText: 'of 30 layers' });
  await lens.waitFor();
  assert.match((await lens.textContent()) ?? '', /Quantize.*Show plan/);

  // What a pattern matches, under the pointer.
  await hoverUntil(
    page.locator('.view-line span span', { hasText: 'down_proj' }).last(),
    page.locator('.monaco-hover:visible', { hasText: 'Matches 4 of 30 layers' }),
  );
  await window.takePicture('hints');
  await page.keyboard.press('Escape');

  // The light bulb mends the name that matches nothing.
  await page.locator('.view-line span span', { hasText: 'o_prok' }).last().click();
  // It stands there when the server has told of its fixes; the key before that opens nothing.
  await page.locator('.lightBulbWidget').waitFor();
  await page.keyboard.press('Control+.');
  const menu = page.locator('.action-widget');
  await menu.locator('.monaco-list-row', { hasText: 'Change to' }).first().waitFor();
  await page.waitForTimeout(300);
  await window.takePicture('quick-fix');
  // What it would change, before it does.
  await page.keyboard.press('Control+Enter');
  const preview = page.locator('.bulk-edit-panel');
  await preview.locator('.monaco-list-row', { hasText: 'o_prok' }).waitFor();
  await page.waitForTimeout(500);
  await window.takePicture('quick-fix-preview');
  await preview.getByRole('button', { name: 'Apply' }).click();
  await page.locator('.view-line', { hasText: 'o_proj' }).waitFor();

  await page.keyboard.press('Control+Shift+M');
  await page.locator('.markers-panel', { hasText: 'No problems have been detected' }).waitFor();

  await lens.getByRole('button', { name: 'Quantize' }).click();
  await window.notification('Quantized.').waitFor({ timeout: runPatience });
  assert.ok(existsSync(path.join(window.folder, 'out', 'mixed', 'model.safetensors')));
});

test('a new recipe begins as a skeleton that says it is not saved', async () => {
  await using window = await openVscodeWindow();
  const { page } = window;
  await window.run('Bitwright: New Recipe');
  await page.locator('.view-line', { hasText: 'path/to/model' }).waitFor();
  await page.keyboard.type('models/stories-and-sums-1m');
  await page.keyboard.press('Escape');
  await window.run('Bitwright: Show Plan');
  await window.notification('Relative paths start from the folder of the recipe').waitFor();
});
