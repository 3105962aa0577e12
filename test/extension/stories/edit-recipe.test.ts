// Story: a recipe with a mistake shows it under the exact characters; completion mends it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { openVscodeWindow } from '../../support/vscode-window.js';

const recipe = `model: models/stories-and-sums-1m

calibration:
  dataset: data/calibration.jsonl

output:
  dir: out/mine

quant_stage:
  quant_modifiers:
    GPTQModifier:
      scheme: W4A61
      targets: [Linear]
      ignore: [lm_head]
`;

/** Where a text of the editor is on the screen, to compare with a squiggle. */
async function boxOf(page: Page, text: string): Promise<{ left: number; right: number; top: number; bottom: number }> {
  // Its line may be drawn anew meanwhile, as its colours come in: then there is nothing on the screen to measure.
  for (let attempts = 0; attempts < 20; attempts += 1) {
    const box = await measured(page, text);
    if (box !== null && box.right > box.left) return box;
    await page.waitForTimeout(200);
  }
  throw new Error(`${text} is not in one piece in the editor`);
}

async function measured(page: Page, text: string): Promise<{ left: number; right: number; top: number; bottom: number } | null> {
  const span = page.locator('.editor-instance .view-line span span', { hasText: text }).last();
  return span.evaluate((element, wanted) => {
    const node = element.firstChild;
    const begin = node?.textContent?.indexOf(wanted) ?? -1;
    if (node === null || begin < 0) return null;
    const range = document.createRange();
    range.setStart(node, begin);
    range.setEnd(node, begin + wanted.length);
    const { left, right, top, bottom } = range.getBoundingClientRect();
    return { left, right, top, bottom };
  }, text);
}

test('a squiggle under the exact range, mended by completion', async () => {
  await using window = await openVscodeWindow({ files: { 'mine.quant.yaml': recipe } });
  const { page } = window;
  await window.open('mine.quant.yaml');
  // The text moves as the hints come in, which closes what hovers over it.
  await page.locator('.view-lines', { hasText: '29 layers' }).waitFor();

  const squiggle = page.locator('.editor-instance .squiggly-error');
  await squiggle.waitFor();
  assert.equal(await squiggle.count(), 1);
  const drawn = await squiggle.boundingBox();
  const wrong = await boxOf(page, 'W4A61');
  assert.ok(drawn);
  // Half a character is 4 px.
  assert.ok(Math.abs(drawn.x - wrong.left) < 2, `squiggle begins at ${drawn.x}, the word at ${wrong.left}`);
  assert.ok(Math.abs(drawn.x + drawn.width - wrong.right) < 2, `squiggle ends at ${drawn.x + drawn.width}, the word at ${wrong.right}`);
  assert.ok(drawn.y >= wrong.top - 2 && drawn.y + drawn.height <= wrong.bottom + 4);

  await page.mouse.move((wrong.left + wrong.right) / 2, (wrong.top + wrong.bottom) / 2);
  const hover = page.locator('.monaco-hover:visible', { hasText: 'W4A61' });
  await hover.waitFor();
  const codeLink = hover.locator('a', { hasText: 'unknown-scheme' });
  assert.match((await codeLink.getAttribute('href')) ?? '', /docs\/problems\/unknown-scheme\.md$/);
  await page.waitForTimeout(300);
  assert.ok(await hover.isVisible());
  await window.takePicture('diagnostics');
  await page.keyboard.press('Escape');

  // A double click selects the word; typing replaces it and completion offers what may stand there.
  await page.mouse.dblclick((wrong.left + wrong.right) / 2, (wrong.top + wrong.bottom) / 2);
  await page.keyboard.type('W4');
  const suggestions = page.locator('.suggest-widget.visible');
  await page.keyboard.press('Control+Space');
  for (const offered of ['W4A16', 'W4A8'])
    await suggestions.locator('.monaco-list-row').getByText(offered, { exact: true }).first().waitFor();
  await window.takePicture('completion');
  await suggestions
    .locator('.monaco-list-row', { has: page.getByText('W4A16', { exact: true }) })
    .first()
    .click();
  await squiggle.waitFor({ state: 'detached' });
  await page.keyboard.press('Control+S');
  await page.locator('.tab.active:not(.dirty)').waitFor();
  assert.equal(readFileSync(path.join(window.folder, 'mine.quant.yaml'), 'utf8'), recipe.replace('W4A61', 'W4A16'));
});
