// The error through depth on the report's page, as it ships: four themes, narrow, by keyboard alone, without a violation that axe finds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axeViolations } from '../../support/axe.js';
import { errorDepth } from '../../support/depth-fixture.js';
import { reportLayers, runReport } from '../../support/report-fixture.js';
import { openWebviewWindow, pageThemes, type WebviewWindow } from '../../support/webview-window.js';

const layers = reportLayers(6).map((layer) => ({ ...layer, histogram: null, grid: null }));
const report = runReport({ layers, depth: errorDepth(layers), recipe: { path: '/r/mine.quant.yaml', sha256: '', text: '' } });

async function show(window: WebviewWindow): Promise<void> {
  await window.send({ kind: 'show-report', report, arrays: { base64: {} } });
  await window.page.locator('#depth-bars .depth-bar').first().waitFor();
}

test('axe finds no violation and nothing is wider than the page, in four themes and at 360 px', async () => {
  await using window = await openWebviewWindow('report');
  for (const theme of pageThemes)
    for (const width of [1000, 360]) {
      await window.page.setViewportSize({ width, height: 1500 });
      await window.setTheme(theme);
      await show(window);
      await window.page.locator('.depth summary').click();
      assert.deepEqual(await axeViolations(window.page), [], `${theme}, ${width} px`);
      const overflow = await window.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide at ${width} px`);
      await window.page.locator('.depth summary').click();
      await window.page.locator('#depth').scrollIntoViewIfNeeded();
      await window.page.mouse.move(0, 0);
      await window.takePicture(`report-depth-${theme}-${width}`);
    }
  assert.deepEqual(window.failures, []);
});

test('the keyboard walks through the layers and chooses one, as a click does', async () => {
  await using window = await openWebviewWindow('report');
  const { page } = window;
  await show(window);
  const focused = (): Promise<string | null> => page.evaluate(() => (document.activeElement as SVGElement | null)?.dataset['key'] ?? null);
  await page.locator('.depth-bar[tabindex="0"]').focus();
  await page.keyboard.press('Home');
  assert.equal(await focused(), layers[0]!.name);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  assert.equal(await focused(), layers[1]!.name);
  assert.equal(await page.locator('#layer h3').textContent(), layers[1]!.name);
  await page.keyboard.press('End');
  assert.equal(await focused(), layers.at(-1)!.name);
  await page.locator(`.depth-bar[data-key="${layers[2]!.name}"]`).click();
  assert.equal(await page.locator('#layer h3').textContent(), layers[2]!.name);
  assert.match((await page.locator('.depth-finding').textContent()) ?? '', /is the first layer that diverges/);
  assert.deepEqual(window.failures, []);
});
