// Story: Quantize from the palette, progress, the report with heatmap and histogram, in every kind of theme and in a narrow window.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { holdRun } from '../../support/long-run.js';
import { openVscodeWindow, runPatience } from '../../support/vscode-window.js';

test('quantize from the palette, then read the report', async () => {
  await using window = await openVscodeWindow();
  const { page, folder } = window;
  await window.open('w4a16-gptq.quant.yaml');
  await page.locator('.codelens-decoration', { hasText: '28 of 30 layers' }).waitFor();
  await window.run('Bitwright: Quantize');
  using held = await holdRun(window, 1, path.join(folder, 'out', 'w4a16-gptq'));
  await window.notification('Quantizing w4a16-gptq.quant.yaml').waitFor();
  await page.locator('.statusbar-item', { hasText: /Quantizing \d+ %/ }).waitFor();
  await window.takePicture('progress');
  held.release();
  await page.locator('.tab.active', { hasText: 'Report: w4a16-gptq' }).waitFor({ timeout: runPatience });
  await window.notification('Quantized.').waitFor();
  for (const file of ['config.json', 'model.safetensors', 'tokenizer.json'])
    assert.ok(existsSync(path.join(folder, 'out', 'w4a16-gptq', file)), file);

  const report = window.webview();
  const cells = report.locator('#heatmap .cell');
  await cells.first().waitFor();
  assert.equal(await cells.count(), 28);
  const worst = report.locator('#heatmap .cell.selected');
  assert.equal(await worst.count(), 1);
  const worstLayer = (await worst.getAttribute('data-key')) ?? '';

  // A click on a cell shows the weights of its layer, with the grid of four bits on them.
  await report.locator('.cell[data-key="model.layers.1.mlp.down_proj"]').click();
  await report.locator('#weights h3', { hasText: 'model.layers.1.mlp.down_proj' }).waitFor();
  assert.ok((await report.locator('#weights .bar').count()) > 16);
  assert.equal(await report.locator('#weights .mark').count(), 16);

  // The keyboard walks over the cells and chooses one.
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await report.locator('#weights h3', { hasText: 'model.layers.0.mlp.down_proj' }).waitFor();

  // The pictures show what the report is for: the layer that hurts most, chosen when it opened.
  await report.locator(`.cell[data-key="${worstLayer}"]`).click();
  await report.locator('#weights h3', { hasText: worstLayer }).waitFor();
  await page.mouse.move(0, 0);
  await window.showSideBar(false);
  await window.run('Notifications: Clear All Notifications');
  for (const [theme, name] of [
    ['Dark Modern', 'report'],
    ['Light Modern', 'report-light'],
    ['Default High Contrast', 'report-high-contrast'],
    ['Default High Contrast Light', 'report-high-contrast-light'],
  ] as const) {
    await window.setTheme(theme);
    await cells.first().waitFor();
    await window.takePicture(name);
  }
  await window.setTheme('Dark Modern');
  await page.setViewportSize({ width: 560, height: 900 });
  await report.locator('#heatmap svg.cells').waitFor();
  const overflow = await report.locator('body').evaluate((body) => body.scrollWidth - body.clientWidth);
  assert.ok(overflow <= 1, `the page is ${overflow} px wider than its panel`);
  await window.takePicture('report-narrow');
});

test('the plan is shown before the run', async () => {
  await using window = await openVscodeWindow({ width: 1600, height: 900 });
  await window.open('w8a8-smoothquant-gptq.quant.yaml');
  await window.page.locator('.codelens-decoration', { hasText: 'of 30 layers' }).waitFor();
  await window.run('Bitwright: Show Plan');
  const plan = window.webview();
  await plan.locator('h1', { hasText: 'Plan of w8a8-smoothquant-gptq.quant.yaml' }).waitFor();
  await plan.locator('td', { hasText: 'int8, token, at run time' }).first().waitFor();
  await window.takePicture('plan');
});

test('a plan that this machine has too little memory for is shown all the same, and not run', async () => {
  const recipe = `model: models/stories-and-sums-1m
max_memory: 1MB
output:
  dir: out/large

quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W8A16
      ignore: [lm_head]
`;
  await using window = await openVscodeWindow({ files: { 'large.quant.yaml': recipe }, width: 1600, height: 900 });
  await window.open('large.quant.yaml');
  await window.page.locator('.squiggly-error').first().waitFor();
  await window.run('Bitwright: Show Plan');
  await window.webview().locator('h1', { hasText: 'Plan of large.quant.yaml' }).waitFor();
  await window.notification('This machine cannot run the plan. ').waitFor();
  await window.takePicture('plan-too-large');
  await window.run('Bitwright: Quantize');
  await window.notification('An error in the recipe: ').waitFor();
});
