// Story: report, sensitivity and comparison come back with what was chosen, sorted, filtered and scrolled to, after the pages are loaded again and after the whole window is.
import path from 'node:path';
import { test } from 'node:test';
import type { FrameLocator } from 'playwright-core';
import { assertSettles, placesKept } from '../../support/page-checks.js';
import { reportLayers, runReport } from '../../support/report-fixture.js';
import { sensitivityAnalysis } from '../../support/sensitivity-fixture.js';
import { clickAndLeave } from '../../support/quick-input.js';
import { openVscodeWindow, type VscodeWindow } from '../../support/vscode-window.js';

const recipe = 'w4a16-gptq.quant.yaml';

const report = (run_id: string, finished_at: string, scheme: string): string =>
  JSON.stringify(
    runReport({
      run_id,
      finished_at,
      recipe: { path: path.join('/recipes', recipe), text: `scheme: ${scheme}\n` },
      layers: reportLayers(16).map((layer) => ({ ...layer, histogram: null, grid: null })),
    } as Parameters<typeof runReport>[0]),
  );

const files = {
  'out/w4a16-gptq.run/report.json': report('b', '2026-01-02T10:00:00.000Z', 'W8A16'),
  'out/w4a16-gptq.history/1/report.json': report('a', '2026-01-01T10:00:00.000Z', 'W4A16'),
  'out/w4a16-gptq.analysis/sensitivity.json': JSON.stringify(sensitivityAnalysis(24)),
};

const tab = (window: VscodeWindow, title: string) => window.page.locator('.tabs-container .tab', { hasText: title });

interface Page {
  title: string;
  open(window: VscodeWindow): Promise<void>;
  /** What is there when it is drawn. */
  drawn: string;
  choose(page: FrameLocator): Promise<void>;
  /** What is to be as it was. */
  look(page: FrameLocator): Promise<unknown>;
}

const valueOf = (page: FrameLocator, id: string): Promise<string> => page.locator(id).inputValue();
const scrollBy = (page: FrameLocator, selector: string, top: number): Promise<void> =>
  page
    .locator(selector)
    .evaluate((element, to) => (element.scrollTop = to), top)
    .then(() => undefined);
const scrolled = (page: FrameLocator, selector: string): Promise<number> =>
  page.locator(selector).evaluate((element) => Math.round(element.scrollTop));

const pages: Page[] = [
  {
    title: 'Report: w4a16-gptq',
    open: (window) => window.run('Bitwright: Open Report'),
    drawn: '#table tbody tr',
    async choose(page) {
      await page.locator('#metric').selectOption('weight_sqnr_db');
      await page.locator('[data-sort="name"]').click();
      await page.locator('[data-layer="model.layers.3.mlp.up_proj"]').click();
      await scrollBy(page, '#table', 60);
      await scrollBy(page, 'html', 150);
    },
    look: async (page) => ({
      metric: await valueOf(page, '#metric'),
      sorted: await page.locator('#table th').first().getAttribute('aria-sort'),
      layer: await page.locator('#layer h3').textContent(),
      scroll: [await scrolled(page, '#table'), await scrolled(page, 'html')],
    }),
  },
  {
    title: 'Sensitivity: w4a16-gptq',
    async open(window) {
      await window.run('Bitwright: Open Sensitivity Heatmap');
      await window.page.locator('.quick-input-list .monaco-list-row', { hasText: recipe }).click();
    },
    drawn: '#budget-text:has-text("predicted loss")',
    async choose(page) {
      await page.locator('#order').selectOption('worst');
      await page.locator('#filter').fill('proj');
      await page.locator('#choose-worst').click();
      await scrollBy(page, '#scroll', 120);
      await scrollBy(page, 'html', 90);
    },
    look: async (page) => ({
      order: await valueOf(page, '#order'),
      filter: await valueOf(page, '#filter'),
      chosen: await page.locator('#chosen').textContent(),
      scroll: [await scrolled(page, '#scroll'), await scrolled(page, 'html')],
    }),
  },
  {
    title: 'Comparison of Runs',
    async open(window) {
      await window.run('Bitwright: Compare Runs');
      for (const question of ['Which run?', 'Compared with which runs?']) {
        await window.page.locator(`.quick-input-widget input[placeholder="${question}"]`).waitFor();
        await clickAndLeave(window.page.locator('.quick-input-list .monaco-list-row', { hasText: recipe }).first());
      }
      // Of those that it is compared with there may be several.
      await window.page.keyboard.press('Enter');
    },
    drawn: '#differences .cell',
    async choose(page) {
      await page.locator('#table-part > summary').click();
      await page.locator('.cell[data-key="model.layers.2.mlp.up_proj"]').focus();
      await scrollBy(page, '#table', 40);
      await scrollBy(page, 'html', 210);
    },
    look: async (page) => ({
      table: await page.locator('#table').isVisible(),
      layer: await page.locator('.cell[tabindex="0"]').getAttribute('data-key'),
      scroll: [await scrolled(page, '#table'), await scrolled(page, 'html')],
    }),
  },
];

test('pages come back as they were: loaded again, and with the whole window', async () => {
  await using window = await openVscodeWindow({ files, width: 1400, height: 800 });
  const before = new Map<string, unknown>();
  const shown = async ({ title, drawn }: Page): Promise<FrameLocator> => {
    await tab(window, title).click();
    const frame = window.webview();
    await frame.locator(drawn).first().waitFor();
    return frame;
  };
  const cameBack = async (one: Page, when: string): Promise<void> => {
    const frame = await shown(one);
    await assertSettles(() => one.look(frame), before.get(one.title), when);
  };
  for (const one of pages) {
    await one.open(window);
    await tab(window, one.title).waitFor();
    const frame = await shown(one);
    await one.choose(frame);
    await placesKept(frame);
    before.set(one.title, await one.look(frame));
    // Loaded again alone: the one that stood there goes.
    await frame.locator('html').evaluate((html) => html.setAttribute('data-before', ''));
    await window.run('Developer: Reload Webviews');
    await frame.locator('html:not([data-before])').waitFor({ state: 'attached' });
    await cameBack(one, `${one.title}, loaded again`);
  }
  for (const one of pages) await cameBack(one, `${one.title}, hidden and shown`);
  await window.reload();
  for (const one of pages) await cameBack(one, `${one.title}, after the window`);
});
