// The error through depth on the report's page, as it ships: four themes, narrow, by keyboard alone, without a violation that axe finds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorDepth } from '../../support/depth-fixture.js';
import { checkThemes } from '../../support/page-checks.js';
import { reportLayers, runReport } from '../../support/report-fixture.js';
import { openWebviewWindow, type WebviewWindow } from '../../support/webview-window.js';

const layers = reportLayers(6).map((layer) => ({ ...layer, histogram: null, grid: null }));
const report = runReport({ layers, depth: errorDepth(layers), recipe: { path: '/r/mine.quant.yaml', sha256: '', text: '' } });

async function show(window: WebviewWindow): Promise<void> {
  await window.send({ kind: 'show-report', report, arrays: { base64: {} }, saved: null });
  await window.page.locator('#depth-bars .depth-bar').first().waitFor();
}

test('axe finds no violation and nothing is wider than the page, in four themes and at 360 px', async () => {
  await using window = await openWebviewWindow('report');
  const summary = window.page.locator('.depth summary');
  await checkThemes(window, {
    name: 'report-depth',
    show: async () => {
      await show(window);
      await summary.click();
    },
    settle: async () => {
      await summary.click();
      await window.page.locator('#depth').scrollIntoViewIfNeeded();
    },
  });
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
