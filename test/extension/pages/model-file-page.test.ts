// The page of a model file in a browser, as it ships: every action by keyboard, no violation that axe finds, names that are never run, a state that outlives a reload, in four themes and narrow.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelFileFacts } from '../../../schemas/src/protocol/model-file-page.js';
import { axeViolations } from '../../support/axe.js';
import { assertNothingRuns, assertSettles, checkThemes, evilName, exportAll, placesKept, tabTo } from '../../support/page-checks.js';
import { layerName } from '../../support/sensitivity-fixture.js';
import { openWebviewWindow, type WebviewWindow } from '../../support/webview-window.js';

const roles = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

function modelFile(n_blocks = 32): ModelFileFacts {
  const names = Array.from({ length: n_blocks }, (_, block) => roles.map((role) => `${layerName(block, role)}.weight`)).flat();
  return {
    format: 'safetensors',
    size: 2 * 64 * 192 * names.length,
    facts: [
      { name: 'Tensors', value: String(names.length) },
      { name: 'Size', value: '5.5 MB, of which 24 kB header' },
      { name: 'Types', value: '224 BF16' },
    ],
    metadata: [
      { key: 'format', value: 'pt' },
      { key: 'made_by', value: 'a long sentence that goes on for some time, so that it has more than one line in a narrow panel' },
    ],
    problems: ['The last 8 bytes of the file belong to no tensor.'],
    tensors: names.map((name, at) => ({ name, dtype: 'BF16', shape: [64, 192], bytes: 24_576, offset: 24_576 * at, file: null })),
  };
}

const statistics = (name: string) => ({
  name,
  dtype: 'BF16',
  shape: [64, 192],
  count: 12_288,
  min: -0.2,
  max: 0.21,
  mean: 1e-5,
  std: 0.03,
  absmax: 0.21,
  n_nan: 0,
  n_inf: 2,
  histogram: { counts: [1, 30, 400, 3000, 2800, 350, 20, 2], min: -0.2, max: 0.21 },
});

async function show(window: WebviewWindow, file = modelFile()): Promise<void> {
  await window.send({ kind: 'show-file', name: 'model.safetensors', file, whyNoStatistics: null, recipe: 'mine.quant.yaml' });
  await window.page.locator('#rows .row').first().waitFor();
}

test('axe finds no violation and nothing is wider than the page, in four themes and at 360 px', async () => {
  await using window = await openWebviewWindow('model-file');
  const { page } = window;
  await checkThemes(window, {
    name: 'model-file-page',
    async show() {
      await show(window, modelFile(12));
      await page.locator('header summary').click();
      await page.locator('#rows .row').nth(2).click();
      await page.locator('[data-action="inspect"]').click();
      const name = `${layerName(0, 'v_proj')}.weight`;
      await window.send({ kind: 'show-statistics', tensor: name, channel: null, answer: { statistics: statistics(name) } });
      await page.locator('#tensor svg.histogram').waitFor();
    },
    settle: () => page.locator('header summary').click(),
  });
});

test('the histogram of a tensor is saved as PNG, SVG and CSV, by keyboard alone', async () => {
  await using window = await openWebviewWindow('model-file');
  const { page } = window;
  await show(window, modelFile(2));
  await page.locator('#rows .row').nth(2).click();
  const name = `${layerName(0, 'v_proj')}.weight`;
  await window.send({ kind: 'show-statistics', tensor: name, channel: null, answer: { statistics: statistics(name) } });
  const files = await exportAll(window, '#tensor');
  assert.deepEqual(
    [...files.keys()],
    ['png', 'svg', 'csv'].map((form) => `Histogram-of-${name}.${form}`),
  );
  assert.match(files.get(`Histogram-of-${name}.csv`) ?? '', /^series,from,to,count\nvalues,-0\.2,-0\.14875,1\n/);
  assert.deepEqual(window.failures, []);
});

test('the histogram of one channel, chosen by number and keyboard, with the values that it takes', async () => {
  await using window = await openWebviewWindow('model-file', { width: 360 });
  const { page } = window;
  await show(window, modelFile(2));
  await page.locator('#rows .row').nth(2).click();
  const tensor = `${layerName(0, 'v_proj')}.weight`;
  await window.send({ kind: 'show-statistics', tensor, channel: null, answer: { statistics: statistics(tensor) } });
  await tabTo(page, '#channel-axis');
  await page.keyboard.press('i');
  assert.equal(await page.locator('#channel-axis').inputValue(), 'column');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'channel-axis');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Control+a');
  await page.keyboard.type('1000');
  await page.keyboard.press('Enter');
  // There are 192 columns: the last of them.
  const channel = { axis: 'column', index: 191 } as const;
  assert.deepEqual((await window.sent('inspect')).at(-1), { kind: 'inspect', tensor, channel });
  assert.equal(await page.locator('#channel-index').inputValue(), '191');
  // What comes of a channel that is no longer asked for is not shown.
  const answer = { statistics: { ...statistics(tensor), shape: [64], count: 64, levels: [-0.1, 0, 0.1] } };
  await window.send({ kind: 'show-statistics', tensor, channel: { axis: 'row', index: 3 }, answer: { message: 'another' } });
  await window.send({ kind: 'show-statistics', tensor, channel, answer });
  await page.locator('h3', { hasText: 'Input channel 191' }).waitFor();
  assert.equal(await page.locator('#tensor .mark').count(), 3);
  assert.equal(await page.locator('[role="alert"]').count(), 0);
  assert.deepEqual(await axeViolations(page), []);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(overflow <= 0, `${overflow} px too wide`);
  await window.takePicture('model-file-channel');
  assert.equal((await exportAll(window, '#tensor')).size, 6);
});

test('every action by keyboard alone', async () => {
  await using window = await openWebviewWindow('model-file');
  const { page } = window;
  await show(window);
  const row = (): Promise<string | null> => page.evaluate(() => document.activeElement?.querySelector('.name')?.textContent ?? null);
  await tabTo(page, 'header summary');
  await page.keyboard.press('Enter');
  await tabTo(page, '.metadata');
  await tabTo(page, '#filter');
  await page.keyboard.type('layers.3 proj');
  assert.match((await page.locator('#count').textContent()) ?? '', /^21 of 224 tensors$/);
  await tabTo(page, '[data-sort="name"]');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('[data-head="name"]').getAttribute('aria-sort'), 'ascending');
  await tabTo(page, '#rows .row');
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowDown');
  assert.equal(await row(), 'model.layers.3.mlp.gate_proj.weight');
  await page.keyboard.press('Shift+ArrowDown');
  await page.locator('#actions', { hasText: '2 chosen' }).waitFor();
  await page.keyboard.press('Enter');
  assert.equal((await window.sent('inspect')).at(-1)?.tensor, await row());
  await page.keyboard.press('End');
  await page.keyboard.press('Control+a');
  await page.locator('#actions', { hasText: '21 chosen' }).waitFor();
  // The last row has the focus, and is on the screen.
  const inView = await page.evaluate(() => {
    const [focused, grid] = [document.activeElement, document.getElementById('grid')];
    if (focused === null || grid === null) return false;
    return focused.getBoundingClientRect().bottom <= grid.getBoundingClientRect().bottom + 1;
  });
  assert.ok(inView);
  await page.keyboard.press('Home');
  await page.keyboard.press('Shift+Tab');
  for (const to of ['targets', 'ignore'] as const) {
    await page.locator('#filter').focus();
    await tabTo(page, `[data-action="${to}"]`);
    await page.keyboard.press('Enter');
    assert.equal((await window.sent('add-to-recipe')).at(-1)?.to, to);
  }
  // An expression that is none says so, and hides nothing.
  await page.locator('#filter').focus();
  await page.keyboard.press('Control+a');
  await page.keyboard.type('/(/');
  assert.equal(await page.locator('#filter').getAttribute('aria-invalid'), 'true');
  assert.deepEqual(window.failures, []);
});

test('names, metadata, facts and problems that are markup are shown and not run', async () => {
  await using window = await openWebviewWindow('model-file');
  const { page } = window;
  const file = modelFile(1);
  Object.assign(file.tensors[0] ?? {}, { name: evilName, dtype: evilName, file: evilName });
  file.facts = [{ name: evilName, value: evilName }];
  file.metadata = [{ key: evilName, value: evilName }];
  file.problems = [evilName];
  await window.send({ kind: 'show-file', name: evilName, file, whyNoStatistics: evilName, recipe: evilName });
  await page.locator('h1', { hasText: evilName }).waitFor();
  await page.locator('#rows .row', { hasText: evilName }).click();
  await page.locator('#tensor h2', { hasText: evilName }).waitFor();
  await page.locator('#tensor .quiet', { hasText: evilName }).waitFor();
  await page.locator('header summary').click();
  await page.locator('.metadata td', { hasText: evilName }).waitFor();
  await page.locator('ul.problems li', { hasText: evilName }).waitFor();
  await window.send({ kind: 'show-unreadable', name: evilName, message: evilName });
  await page.locator('p.problems', { hasText: evilName }).waitFor();
  await assertNothingRuns(window);
});

test('filter, order, what was chosen and the place in the table outlive a reload', async () => {
  await using window = await openWebviewWindow('model-file');
  const { page } = window;
  await show(window);
  await page.locator('#filter').fill('proj');
  await page.locator('[data-sort="name"]').click();
  await page.locator('[data-sort="name"]').click();
  await page.locator('#grid').evaluate((grid) => (grid.scrollTop = 1200));
  const row = page.locator('#rows .row', { hasText: layerName(20, 'q_proj') });
  await row.click();
  const before = await page.locator('#grid').evaluate((grid) => grid.scrollTop);
  assert.ok(before > 1000);
  await placesKept(page);
  await window.reload();
  await show(window);
  assert.equal(await page.locator('#filter').inputValue(), 'proj');
  assert.equal(await page.locator('[data-head="name"]').getAttribute('aria-sort'), 'descending');
  assert.equal(await page.locator('#tensor h2').textContent(), `${layerName(20, 'q_proj')}.weight`);
  await assertSettles(() => page.locator('#grid').evaluate((grid) => grid.scrollTop), before);
});
