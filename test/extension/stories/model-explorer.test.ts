// Story: the model of a recipe as a tree, layers added to the recipe from it, a model file of each format in its editor, and the runs of the workspace.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Locator } from 'playwright-core';
import { hoverUntil } from '../../support/hover.js';
import { runReport } from '../../support/report-fixture.js';
import { repositoryRoot } from '../../support/shared.js';
import { openVscodeWindow, type ColorTheme, type VscodeWindow } from '../../support/vscode-window.js';
import { weirdNames, weirdSafetensors } from '../../support/weird-safetensors.js';

const themes: readonly (readonly [ColorTheme, string])[] = [
  ['Dark Modern', ''],
  ['Light Modern', '-light'],
  ['Default High Contrast', '-high-contrast'],
];

const showView = async (window: VscodeWindow): Promise<void> =>
  window.page.locator('.activitybar .action-label[aria-label^="Bitwright"]').click();
const treeRow = (window: VscodeWindow, text: string | RegExp): Locator =>
  window.page.locator('.pane-body .monaco-list-row[role="treeitem"]', { hasText: text });
const recipeText = (window: VscodeWindow, name: string): string => readFileSync(path.join(window.folder, name), 'utf8');

test('the tree shows what the recipe does to each layer, and adds layers to it', async () => {
  await using window = await openVscodeWindow({ width: 1400, height: 1040 });
  const { page } = window;
  await window.open('w4a16-gptq.quant.yaml');
  await page.locator('.codelens-decoration', { hasText: '28 of 30 layers' }).waitFor();
  await showView(window);
  await treeRow(window, /stories-and-sums-1m/).waitFor();
  await treeRow(window, /lm_head.*ignored/).waitFor();
  // By keyboard alone: into the tree, down to a block, open it.
  const block = treeRow(window, /^0/).first();
  if (!(await block.isVisible())) {
    await treeRow(window, /^layers/)
      .first()
      .click();
    await page.keyboard.press('ArrowRight');
  }
  await block.click();
  await page.keyboard.press('ArrowRight');
  const mlp = treeRow(window, /^mlp/).first();
  await mlp.click();
  await page.keyboard.press('ArrowRight');
  const layer = treeRow(window, /down_proj.*int4/).first();
  await layer.waitFor();
  for (const [theme, ending] of themes) {
    await window.setTheme(theme);
    await window.takePicture(`model-explorer${ending}`);
  }
  await window.setTheme('Dark Modern');
  await layer.focus();
  const ignore = layer.locator('.action-label[aria-label="Add to Ignore"]');
  await hoverUntil(layer, ignore);
  await ignore.click();
  await treeRow(window, /down_proj.*ignored/)
    .first()
    .waitFor();
  await page.locator('.view-line', { hasText: 'model.layers.0.mlp.down_proj' }).first().waitFor();
  // One step undoes it.
  await page.locator('.editor-instance .view-lines').first().click();
  await page.keyboard.press('Control+Z');
  await treeRow(window, /down_proj.*int4/)
    .first()
    .waitFor();
  // Dragged onto the line of ignore.
  await layer.dragTo(page.locator('.view-line', { hasText: 'ignore:' }).first());
  await treeRow(window, /down_proj.*ignored/)
    .first()
    .waitFor();
  await page.keyboard.press('Control+S');
  await page.locator('.tab.active:not(.dirty)', { hasText: 'w4a16-gptq' }).waitFor();
  assert.match(recipeText(window, 'w4a16-gptq.quant.yaml'), /ignore: \[lm_head, model\.layers\.0\.mlp\.down_proj\]/);
});

test('a safetensors file: table, filter, keyboard, statistics on demand, layers into the recipe', async () => {
  await using window = await openVscodeWindow({ width: 1400, height: 860 });
  const { page } = window;
  await window.open('w4a16-gptq.quant.yaml');
  await page.locator('.codelens-decoration', { hasText: '28 of 30 layers' }).waitFor();
  const file = await window.openPage('model.safetensors');
  await file.locator('#filter').fill('layers.2 down_proj');
  const row = file.locator('#rows .row').first();
  await row.locator('.name', { hasText: 'model.layers.2.mlp.down_proj.weight' }).waitFor();
  assert.equal(await file.locator('#rows .row').count(), 1);
  assert.match((await file.locator('#count').textContent()) ?? '', /^1 of \d+ tensors$/);
  await file.locator('#filter').press('ArrowDown');
  await page.keyboard.press('Enter');
  await file.locator('#tensor svg.histogram').waitFor();
  assert.match((await file.locator('#tensor').textContent()) ?? '', /Standard deviation/);
  await page.mouse.move(0, 0);
  await file.locator('#filter').fill('down_proj');
  await page.keyboard.press('Tab');
  for (const [theme, ending] of themes) {
    await window.setTheme(theme);
    await file.locator('#rows .row').first().waitFor();
    await window.takePicture(`model-file${ending}`);
  }
  await window.setTheme('Dark Modern');
  await file.locator('#rows .row').first().click();
  await file.locator('button[data-action="ignore"]').click();
  await page.locator('.tab.active', { hasText: 'w4a16-gptq.quant.yaml' }).waitFor();
  await page.locator('.view-line', { hasText: 'model.layers.0.mlp.down_proj' }).first().waitFor();
  await page.locator('.tab', { hasText: 'model.safetensors' }).click();
  await window.showSideBar(false);
  await page.setViewportSize({ width: 410, height: 860 });
  await file.locator('#rows .row').first().waitFor();
  const overflow = await file.locator('body').evaluate((body) => body.scrollWidth - body.clientWidth);
  assert.ok(overflow <= 1, `the page is ${overflow} px wider than its panel`);
  await window.takePicture('model-file-narrow');
});

test('names are data: markup in names of tensors and metadata is shown and not run', async () => {
  await using window = await openVscodeWindow({ files: { 'weird.safetensors': weirdSafetensors() } });
  const file = await window.openPage('weird.safetensors');
  await file.locator('#rows .row').first().waitFor();
  for (const name of weirdNames) {
    const row = file.locator('#rows .row', { hasText: name });
    await row.click();
    assert.equal(await file.locator('#tensor h2').textContent(), name);
  }
  await file.locator('header summary').click();
  assert.equal(await file.locator('.metadata th').textContent(), '<b>key</b>');
  assert.equal(await file.locator('main img, main script, main b').count(), 0);
  assert.notEqual(await file.locator('html').evaluate((html) => html.ownerDocument.title), 'run');
});

test('GGUF and ONNX files: metadata and types, and a sentence in place of statistics', async () => {
  await using window = await openVscodeWindow({ width: 1400, height: 860 });
  for (const name of ['small.gguf', 'small.onnx', 'weights.bin'])
    copyFileSync(path.join(repositoryRoot, 'test', 'golden', 'model-files', name), path.join(window.folder, name));
  const gguf = await window.openPage('small.gguf');
  await gguf.locator('.row', { hasText: 'blk.3.attn_q.weight' }).click();
  assert.match((await gguf.locator('#tensor').textContent()) ?? '', /Q4_K.*4 × 256.*Statistics of GGUF tensors cannot be computed yet/);
  await gguf.locator('header summary').click();
  await gguf.locator('.metadata tr', { hasText: 'tokenizer.ggml.tokens' }).locator('td', { hasText: '100 × string: "token 0"' }).waitFor();
  await window.takePicture('model-file-gguf');
  const onnx = await window.openPage('small.onnx');
  await onnx.locator('.row', { hasText: 'weights.bin at 16' }).click();
  assert.match((await onnx.locator('.facts').first().textContent()) ?? '', /ai\.onnx 21, com\.example 1/);
});

test('runs: newest first, report, delete with confirmation', async () => {
  const report = (part: Parameters<typeof runReport>[0]): string => JSON.stringify(runReport(part));
  const first = runReport({ run_id: 'a', finished_at: '2026-01-01T10:00:00.000Z' });
  await using window = await openVscodeWindow({
    files: {
      'out/w4a16.run/report.json': report({ run_id: 'b', finished_at: '2026-01-03T10:00:00.000Z', seconds: 200 }),
      'out/w4a16.history/2026-01-01T10-00-00.000Z/report.json': JSON.stringify(first),
      'out/<b>w8a16.run/report.json': report({
        run_id: 'c',
        finished_at: '2026-01-02T10:00:00.000Z',
        outcome: 'cancelled',
        quality: null,
      }),
      'out/broken.run/report.json': '{',
    },
  });
  const { page } = window;
  await showView(window);
  const runs = page.locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') }).locator('.monaco-list-row');
  await runs.nth(3).waitFor();
  const texts = await runs.allTextContents();
  assert.match(texts[0] ?? '', /^w4a16.*bits per weight, perplexity .* → .*, 3 min/);
  assert.match(texts[1] ?? '', /^<b>w8a16cancelled/);
  assert.match(texts[2] ?? '', /^w4a16/);
  assert.match(texts[3] ?? '', /broken\.run.*cannot be read/);
  await window.takePicture('runs');
  await runs.first().click();
  await page.locator('.tab.active', { hasText: 'Report: w4a16' }).waitFor();
  await window.webview().locator('#heatmap .cell').first().waitFor();
  await window.chooseFromMenu(runs.nth(1), 'Delete Run');
  await page.locator('.monaco-dialog-box', { hasText: 'The checkpoint beside it stays' }).waitFor();
  await page.locator('.monaco-dialog-box .monaco-button', { hasText: 'Delete Run' }).click();
  await runs.nth(3).waitFor({ state: 'detached' });
  assert.ok(!existsSync(path.join(window.folder, 'out', '<b>w8a16.run')) && existsSync(path.join(window.folder, 'out', 'w4a16.run')));
});
