// The report page in a browser, as it stands in VS Code: every action by keyboard, no violation that axe finds, names that are never run, a state that outlives a reload, in four themes and narrow.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { errorDepth } from '../../support/depth-fixture.js';
import {
  assertNothingRuns,
  assertSettles,
  checkThemes,
  cutWithoutSign,
  evilName,
  exportAll,
  placesKept,
  tabTo,
} from '../../support/page-checks.js';
import { awqTransform, layerMetrics, pictured, reportArrays, reportLayers, runReport } from '../../support/report-fixture.js';
import { openWebviewWindow, type WebviewWindow } from '../../support/webview-window.js';

const saved = '/checkpoints/mine.run';

/** A report with every section: problems, gates, rotations, transforms. */
const wholeReport = (changes: Partial<RunReport> = {}): RunReport =>
  runReport({
    layers: reportLayers(12),
    problems: [
      {
        code: 'damping-raised',
        severity: 'warning',
        message: 'The Hessian of model.layers.0.mlp.down_proj was raised to 0.1 × its mean diagonal.',
        layer: 'model.layers.0.mlp.down_proj',
        recipe_path: null,
      },
      { code: 'gate-failed', severity: 'error', message: 'Perplexity 1.5015 is above 1.5.', layer: null, recipe_path: ['gates'] },
    ],
    rotations: [
      { modifier: 'QuIPModifier', tensor: 'model.layers.0.mlp.up_proj.weight', incoherence_before: 12.5, incoherence_after: 4.25 },
    ],
    transforms: [awqTransform],
    ...changes,
  });

async function show(window: WebviewWindow, report: RunReport): Promise<void> {
  await window.send({ kind: 'show-report', report, arrays: reportArrays(), saved });
  await window.page.locator('#weights svg').first().waitFor();
}

test('axe finds no violation and nothing is wider than the page, in four themes and at 360 px', async () => {
  await using window = await openWebviewWindow('report');
  await checkThemes(window, {
    name: 'report-page',
    async show() {
      await show(window, wholeReport());
      for (const panel of ['#heatmap', '#weights']) await window.page.locator(`.panel:has(> ${panel}) .export > summary`).click();
      await window.page.locator('.panel:has(> #weights) .export button').first().waitFor();
    },
  });
});

test('every action by keyboard alone', async () => {
  await using window = await openWebviewWindow('report');
  const { page } = window;
  await show(window, wholeReport());
  const focused = (): Promise<string | null> => page.evaluate(() => document.activeElement?.getAttribute('data-key') ?? null);
  await tabTo(page, '#metric');
  await page.keyboard.press('w');
  assert.equal(await page.locator('#metric').inputValue(), 'weight_sqnr_db');
  await tabTo(page, '.cell');
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  const reached = await focused();
  assert.ok(reached);
  assert.ok(await page.locator('#tooltip').isVisible());
  await page.keyboard.press('Escape');
  assert.ok(!(await page.locator('#tooltip').isVisible()));
  await page.keyboard.press('Enter');
  await page.locator('#layer h3', { hasText: reached }).waitFor();
  assert.equal(await focused(), reached);
  await tabTo(page, '#log-counts');
  const linear = await page.locator('#weights svg').first().innerHTML();
  await page.keyboard.press(' ');
  await page.waitForFunction((before) => document.querySelector('#weights svg')?.innerHTML !== before, linear);
  // The table: sorted by its heads, and a layer chosen from it.
  await tabTo(page, '[data-sort="name"]');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#table thead th').first().getAttribute('aria-sort'), 'ascending');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#table thead th').first().getAttribute('aria-sort'), 'descending');
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('data-sort')), 'name');
  await tabTo(page, '[data-layer]');
  const layer = await page.evaluate(() => document.activeElement?.getAttribute('data-layer'));
  await page.keyboard.press('Enter');
  await page.locator('#layer h3', { hasText: layer ?? '' }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('data-layer')), layer);
  assert.deepEqual(window.failures, []);
});

test('a table that is wider than its panel has a shaded edge where more of it lies, and the keyboard scrolls it', async () => {
  await using window = await openWebviewWindow('report', { width: 360 });
  const { page } = window;
  await show(window, wholeReport());
  const shades = (): Promise<string[]> =>
    page.locator('#rotations').evaluate(async (frame) => {
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      return [...getComputedStyle(frame).boxShadow.matchAll(/(-?)18px 0px 14px -14px/g)].map(([, sign]) =>
        sign === '-' ? 'right' : 'left',
      );
    });
  assert.deepEqual(await shades(), ['right']);
  await tabTo(page, '#rotations');
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => (document.querySelector('#rotations')?.scrollLeft ?? 0) > 20);
  assert.deepEqual(await shades(), ['right', 'left']);
  await page.locator('#rotations').evaluate((frame) => (frame.scrollLeft = frame.scrollWidth));
  assert.deepEqual(await shades(), ['left']);
  await tabTo(page, '#table');
  assert.deepEqual(await cutWithoutSign(page), []);
  // It does look: a frame without the sign is found.
  await page.locator('#rotations').evaluate((frame) => (frame.style.animation = 'none'));
  assert.deepEqual(await cutWithoutSign(page), ['rotations ']);
  await page.setViewportSize({ width: 1000, height: 900 });
  await page.locator('#transforms').evaluate((frame) => (frame.style.animation = ''));
  assert.equal(await page.locator('#transforms').evaluate((frame) => getComputedStyle(frame).boxShadow), 'none');
});

test('every picture is saved as PNG, SVG and CSV, by keyboard alone', async () => {
  await using window = await openWebviewWindow('report');
  const layers = reportLayers(3).map((layer) => ({ ...layer, ...pictured }));
  await show(window, wholeReport({ layers, depth: errorDepth(layers) }));
  await window.page.locator('#level').selectOption('columns');
  await window.page.locator('#weights .minis svg').first().waitFor();
  const heat = await exportAll(window, '.panel:has(> #heatmap)');
  assert.deepEqual(
    [...heat.keys()],
    ['png', 'svg', 'csv'].map((form) => `Relative-output-error-of-each-layer.${form}`),
  );
  const csv = heat.get('Relative-output-error-of-each-layer.csv')?.split('\n') ?? [];
  assert.match(csv[0] ?? '', /^layer,scheme,relative_output_error,/);
  assert.match(csv[1] ?? '', /^model\.layers\.0\.self_attn\.q_proj,int4 g32 sym,0\.001,/);
  assert.equal(csv.length, 1 + 21 + 1);
  const chosen = 'model.layers.2.mlp.down_proj';
  const weights = await exportAll(window, '.panel:has(> #weights)');
  assert.deepEqual(
    [...weights.keys()].filter((name) => name.endsWith('.csv')),
    [
      `Weights-of-${chosen}.csv`,
      `Slices-of-2-input-channels-of-${chosen}.csv`,
      `Error-of-the-weights-of-${chosen}.csv`,
      `Largest-weight-of-each-input-channel-of-${chosen}.csv`,
      `Largest-weight-of-each-output-channel-of-${chosen}.csv`,
    ],
  );
  assert.match(weights.get(`Weights-of-${chosen}.csv`) ?? '', /^series,from,to,count\nbefore,-0\.2,-0\.15,1\n/);
  assert.match(weights.get(`Weights-of-${chosen}.csv`) ?? '', /\ngrid,-0\.2/);
  // The key is part of the drawing, and so is what it is of.
  for (const text of ['weights before', `Weights of ${chosen}`])
    assert.ok(weights.get(`Weights-of-${chosen}.svg`)?.includes(`>${text}<`), text);
  const depth = await exportAll(window, '.panel:has(> #depth)');
  assert.equal(depth.size, 6);
  assert.match(depth.get('Output-errors-of-each-layer.csv') ?? '', /^layer,block,total,weight,activation,propagated\n/);
  await window.page.locator('#all-weights > summary').click();
  await window.page.locator('#minis .mini-layer').first().waitFor();
  const all = await exportAll(window, '#all-weights');
  assert.equal(all.get('Weights-of-all-layers.svg')?.match(/<svg/g)?.length, 1 + 21);
  assert.deepEqual(window.failures, []);
});

test('a layer, a problem and a model named as markup are shown and not run', async () => {
  await using window = await openWebviewWindow('report');
  const report = wholeReport({ model: { dir: `/models/${evilName}`, architecture_name: evilName, dtype: evilName } as RunReport['model'] });
  const [layer, problem] = [report.layers[0], report.problems[0]];
  assert.ok(layer !== undefined && problem !== undefined);
  Object.assign(layer, { name: evilName, role: evilName, scheme: evilName });
  Object.assign(problem, { code: evilName, message: evilName });
  await show(window, report);
  const { page } = window;
  await page.locator(`#table tbody th button`, { hasText: evilName }).click();
  await page.locator('#layer h3', { hasText: evilName }).waitFor();
  await page.locator('.problems li', { hasText: evilName }).first().waitFor();
  await page.locator('h1 .model', { hasText: evilName }).waitFor();
  await page.locator('.cell.selected').hover();
  await page.locator('#tooltip', { hasText: 'onerror' }).waitFor();
  await assertNothingRuns(window);
});

test('what was chosen, its order and the place in the page outlive a reload', async () => {
  await using window = await openWebviewWindow('report');
  const { page } = window;
  await page.setViewportSize({ width: 900, height: 500 });
  const report = wholeReport();
  await show(window, report);
  await page.locator('#metric').selectOption('weight_sqnr_db');
  await page.locator('[data-sort="name"]').click();
  await page.locator('[data-layer="model.layers.1.mlp.up_proj"]').click();
  await page.locator('#log-counts').uncheck();
  await page.locator('#table').evaluate((table) => (table.scrollTop = 90));
  await page.evaluate(() => scrollTo(0, 333));
  await placesKept(page);
  await window.reload();
  await show(window, report);
  assert.equal(await page.locator('#metric').inputValue(), 'weight_sqnr_db');
  assert.equal(await page.locator('#table thead th').first().getAttribute('aria-sort'), 'ascending');
  await page.locator('#layer h3', { hasText: 'model.layers.1.mlp.up_proj' }).waitFor();
  assert.ok(!(await page.locator('#log-counts').isChecked()));
  await assertSettles(() => page.evaluate(() => Math.round(scrollY)), 333);
  await assertSettles(() => page.locator('#table').evaluate((table) => table.scrollTop), 90);
  // What the host needs to open the page again stands there too.
  assert.equal(await page.evaluate(() => (JSON.parse(sessionStorage.getItem('state') ?? '{}') as { saved: unknown }).saved), saved);
});

test('a report without layers, and an array that is not there, are said in words', async () => {
  await using window = await openWebviewWindow('report');
  const { page } = window;
  await window.send({ kind: 'show-report', report: runReport({ layers: [], outcome: 'cancelled' }), arrays: { base64: {} }, saved });
  await page.locator('.empty', { hasText: 'No layer was finished in this run.' }).waitFor();
  await window.send({ kind: 'show-report', report: runReport(), arrays: { base64: {} }, saved });
  await page.locator('#weights .empty', { hasText: 'The histogram cannot be read: arrays.bin is not in this file' }).waitFor();
  assert.equal((await window.sent('page-error')).length, 1);
});

test('a report of 45,000 layers is a page of some thousand elements, and every layer is found in it', async () => {
  await using window = await openWebviewWindow('report');
  const { page } = window;
  const layers = Array.from({ length: 58 }, (_, block) =>
    Array.from({ length: 256 }, (__, expert) =>
      ['gate_proj', 'up_proj', 'down_proj'].map((role) =>
        layerMetrics(`model.layers.${block}.mlp.experts.${expert}.${role}`, { block, role, relative_output_error: (expert + 1) / 1000 }),
      ),
    ),
  ).flat(2);
  await show(window, runReport({ layers }));
  assert.equal(await page.locator('.cell').count(), 58 * 3);
  const caption = page.locator('#table caption');
  assert.equal(await caption.textContent(), '44544 quantized layers, the first 1000 in this order');
  assert.ok((await page.evaluate(() => document.querySelectorAll('*').length)) < 20_000);
  await page.locator('[data-more]').click();
  assert.equal(await page.locator('#table tbody tr').count(), 2000);
  await page.locator('#filter').fill('layers.17. experts.200. up');
  assert.equal(await caption.textContent(), '1 quantized layer');
  await page.locator('#table [data-layer]').click();
  assert.equal(await page.locator('#layer h3').textContent(), 'model.layers.17.mlp.experts.200.up_proj');
  // Its cell is that of the block's experts.
  assert.equal(await page.locator('.cell.selected').getAttribute('data-key'), 'model.layers.17.mlp.experts.255.up_proj');
  await page.locator('.cell.selected').hover();
  assert.match((await page.locator('#tooltip').textContent()) ?? '', /The worst of 256 layers in this cell/);
});
