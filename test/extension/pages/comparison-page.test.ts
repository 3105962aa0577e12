// The page that compares two runs, in a browser as it ships: every action by keyboard, no violation that axe finds, names that are never run, a place that outlives a reload, in four themes and narrow.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import type { RecipeLine } from '../../../schemas/src/protocol/client-webview.js';
import { assertNothingRuns, assertSettles, checkThemes, evilName, exportAll, placesKept, tabTo } from '../../support/page-checks.js';
import { reportLayers, runReport } from '../../support/report-fixture.js';
import { openWebviewWindow, type WebviewWindow } from '../../support/webview-window.js';

const saved = ['/checkpoints/mine.history/1', '/checkpoints/mine.run'];
const same = (text: string): RecipeLine => ({ kind: 'same', text });
const recipe: RecipeLine[] = [
  ...['quant_stage:', '  quant_modifiers:', '    GPTQModifier:'].map(same),
  { kind: 'removed', text: '      scheme: W4A16' },
  { kind: 'added', text: '      config_groups: {raised: {targets: [model.layers.0.mlp.up_proj], weights: {num_bits: 8}}}' },
  ...['      targets: [Linear]', '      ignore: [lm_head]', '', 'output:', '  dir: out'].map(same),
];

/** B has the first layer in 8 bits and leaves another as it is. */
function runs(n_blocks: number): { a: RunReport; b: RunReport } {
  const layers = reportLayers(n_blocks);
  const [raised, kept] = [layers[5]?.name, layers[7]?.name];
  const after = reportLayers(n_blocks).flatMap((layer) =>
    layer.name === kept ? [] : [layer.name === raised ? { ...layer, scheme: 'int8 g32 sym', relative_output_error: 5e-5 } : layer],
  );
  return {
    a: runReport({ layers, finished_at: '2026-11-21T10:00:00.000Z' }),
    b: runReport({
      layers: after,
      finished_at: '2026-11-21T11:00:00.000Z',
      seconds: 14,
      quality: { before: { perplexity: 1.5, nll: 1, tokens: 8793 }, after: { perplexity: 1.5005, nll: 1, tokens: 8793 } },
    } as Partial<RunReport>),
  };
}

async function show(window: WebviewWindow, compared = runs(12)): Promise<void> {
  await window.send({ kind: 'show-comparison', all: [], ...compared, recipe, saved });
  await window.page.locator('#differences .cell').first().waitFor();
}

test('axe finds no violation and nothing is wider than the page, in four themes and at 360 px', async () => {
  await using window = await openWebviewWindow('comparison');
  const { page } = window;
  await checkThemes(window, {
    name: 'comparison-page',
    async show() {
      await show(window);
      await page.locator('#table-part > summary').click();
      await page.locator('#table tbody tr').first().waitFor();
    },
    settle: () => page.locator('#table-part > summary').click(),
  });
});

test('every action by keyboard alone', async () => {
  await using window = await openWebviewWindow('comparison');
  const { page } = window;
  await show(window);
  for (const part of ['#figures', '#recipe']) await tabTo(page, part);
  await tabTo(page, '.cell');
  const focused = (): Promise<string | null> => page.evaluate(() => document.activeElement?.getAttribute('data-key') ?? null);
  assert.equal(await focused(), 'model.layers.0.self_attn.q_proj');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  assert.equal(await focused(), 'model.layers.1.self_attn.k_proj');
  assert.match((await page.locator('#tooltip').textContent()) ?? '', /^model\.layers\.1\.self_attn\.k_projA: int4/);
  await page.keyboard.press('End');
  assert.equal(await focused(), 'model.layers.1.mlp.down_proj');
  await page.keyboard.press('Escape');
  assert.ok(!(await page.locator('#tooltip').isVisible()));
  await tabTo(page, '#table-part > summary');
  await page.keyboard.press('Enter');
  await tabTo(page, '#table');
  assert.equal(await page.locator('#table tbody tr').count(), 84);
  assert.deepEqual(window.failures, []);
});

test('the heatmap is saved as PNG, SVG and CSV, by keyboard alone', async () => {
  await using window = await openWebviewWindow('comparison');
  await show(window, runs(3));
  const files = await exportAll(window, '.panel:has(> #differences)');
  assert.deepEqual(
    [...files.keys()],
    ['png', 'svg', 'csv'].map((form) => `Relative-output-error-of-each-layer-B-over-A.${form}`),
  );
  const lines = [...files.values()].at(-1)?.split('\n') ?? [];
  assert.equal(lines[0], 'layer,block,role,scheme_a,scheme_b,relative_output_error_a,relative_output_error_b,b_over_a');
  assert.ok(
    lines.some((line) => /^model\.layers\.0\.mlp\.up_proj,0,up_proj,int4 g32 sym,int8 g32 sym,0\.006,0\.00005,/.test(line)),
    lines.join('\n'),
  );
  // B leaves it as it is: no scheme, no error, no ratio.
  assert.ok(
    lines.some((line) => /^model\.layers\.1\.self_attn\.q_proj,1,q_proj,int4 g32 sym,,0\.002,,$/.test(line)),
    lines.join('\n'),
  );
  assert.deepEqual(window.failures, []);
});

test('layers, schemes, lines and files named as markup are shown and not run', async () => {
  await using window = await openWebviewWindow('comparison');
  const compared = runs(2);
  for (const report of [compared.a, compared.b]) {
    report.recipe.path = `/recipes/${evilName}`;
    Object.assign(report.layers[0] ?? {}, { name: evilName, role: evilName, scheme: evilName });
  }
  await window.send({ kind: 'show-comparison', all: [], ...compared, recipe: [{ kind: 'added', text: evilName }], saved });
  const { page } = window;
  await page.locator('#recipe .added', { hasText: evilName }).waitFor();
  await page.locator('#figures th', { hasText: '.up_proj2026-11-21' }).first().waitFor();
  await page.locator('#table-part > summary').click();
  await page.locator('#table th', { hasText: evilName }).waitFor();
  await page.locator('.cell[data-key^="<img"]').hover();
  await page.locator('#tooltip', { hasText: 'onerror' }).waitFor();
  await assertNothingRuns(window);
});

test('the layer of the keyboard, the opened table and the place in the page outlive a reload', async () => {
  await using window = await openWebviewWindow('comparison');
  const { page } = window;
  await page.setViewportSize({ width: 900, height: 500 });
  await show(window);
  await page.locator('#table-part > summary').click();
  await page.locator('.cell[data-key="model.layers.3.mlp.up_proj"]').focus();
  await page.locator('#table').evaluate((table) => (table.scrollTop = 60));
  await page.evaluate(() => scrollTo(0, 444));
  await placesKept(page);
  await window.reload();
  await show(window);
  assert.ok(await page.locator('#table').isVisible());
  assert.equal(await page.locator('.cell[tabindex="0"]').getAttribute('data-key'), 'model.layers.3.mlp.up_proj');
  await assertSettles(() => page.evaluate(() => Math.round(scrollY)), 444);
  assert.deepEqual(await page.evaluate(() => (JSON.parse(sessionStorage.getItem('state') ?? '{}') as { saved: unknown }).saved), saved);
});
