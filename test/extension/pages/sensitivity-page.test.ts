// The sensitivity page in a browser, as it ships: every action by keyboard, no violation that axe finds, names that are never run, a state that outlives a reload, in four themes and narrow.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { assertNothingRuns, checkThemes, evilName, tabTo } from '../../support/page-checks.js';
import { layerName, layerRules, sensitivityAnalysis, withFisher } from '../../support/sensitivity-fixture.js';
import { openWebviewWindow, type WebviewWindow } from '../../support/webview-window.js';

const saved = { folder: '/out/mine.analysis', recipe: 'file:///mine.quant.yaml' };

async function show(window: WebviewWindow, analysis: SensitivityAnalysis, raised: readonly string[] = []): Promise<void> {
  await window.send({ kind: 'show-analysis', analysis, recipeName: 'mine.quant.yaml', saved });
  await window.send({ kind: 'show-rules', rules: layerRules(analysis, raised) });
  await window.page.locator('#budget-text', { hasText: 'The recipe now' }).waitFor();
}

const chosenCount = (window: WebviewWindow): Promise<string | null> => window.page.locator('#chosen').textContent();

test('axe finds no violation and nothing is wider than the page, in four themes and at 360 px', async () => {
  await using window = await openWebviewWindow('sensitivity');
  const { page } = window;
  const analysis = sensitivityAnalysis(12);
  await checkThemes(window, {
    name: 'sensitivity-page',
    async show() {
      await show(window, analysis);
      await page.locator('#table-part summary').click();
      await page.locator('#table tbody tr').first().waitFor();
      await page.locator('#choose-worst').click();
    },
    settle: () => page.locator('#table-part summary').click(),
  });
});

test('what gradients predict is a figure to colour by, with definition, unit and source beside the picture', async () => {
  await using window = await openWebviewWindow('sensitivity');
  const { page } = window;
  const analysis = withFisher(sensitivityAnalysis(12));
  await checkThemes(window, {
    name: 'sensitivity-fisher',
    async show() {
      await show(window, analysis);
      await page.locator('#summary', { hasText: 'Worst by predicted loss change (Fisher) with 4 bits' }).waitFor();
    },
  });
  assert.deepEqual(
    [await page.locator('#figure').inputValue(), await page.locator('#unit').textContent()],
    ['fisher_loss', 'nats per token'],
  );
  const definition = (await page.locator('#definition').textContent()) ?? '';
  for (const metric of ['½ Σ F ΔW² over the weights', 'unit: nats per token', 'arXiv 2306.07629']) assert.ok(definition.includes(metric));
  await page.locator('#figure').selectOption('fisher_trace');
  assert.match((await page.locator('#definition').textContent()) ?? '', /^Trace of the Fisher information: .*square of a weight/);
  assert.ok(await page.locator('#bits').isDisabled());
});

test('every action by keyboard alone', async () => {
  await using window = await openWebviewWindow('sensitivity');
  const { page } = window;
  const analysis = sensitivityAnalysis(4);
  await show(window, analysis);
  const active = (): Promise<string | null> => page.locator('#active-cell').getAttribute('aria-label');
  await tabTo(page, '#scroll');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  assert.match(
    (await active()) ?? '',
    new RegExp(`^${layerName(1, 'k_proj')}\\. Relative output error with 4 bits: .* number \\d+ of 28.*Now int4 g64`),
  );
  assert.ok(await page.locator('#tooltip').isVisible());
  await page.keyboard.press(' ');
  await page.keyboard.press('Shift+ArrowRight');
  await page.keyboard.press('Shift+ArrowDown');
  assert.match((await chosenCount(window)) ?? '', /^4 layers chosen, 6 with siblings/);
  assert.equal(await page.locator('#active-cell').getAttribute('aria-selected'), 'true');
  assert.match((await page.locator('#status').textContent()) ?? '', /4 layers chosen/);
  await page.keyboard.press('Enter');
  assert.deepEqual(await window.sent('reveal-rule'), [{ kind: 'reveal-rule', layer: layerName(2, 'v_proj') }]);

  await tabTo(page, '#siblings');
  await page.keyboard.press(' ');
  for (const [id, to] of [
    ['raise', { num_bits: 8 }],
    ['lower', { num_bits: 3 }],
    ['keep', { ignore: true }],
  ] as const) {
    await tabTo(page, `#${id}`);
    await page.keyboard.press('Enter');
    const edits = (await window.sent('edit-layers')).at(-1)?.edits ?? [];
    assert.deepEqual(
      edits.map((edit) => [edit.to, edit.layers.length]),
      [[to, 4]],
      id,
    );
    assert.match(edits[0]?.layers[0]?.reason ?? '', /relative output error with 4 bits .* rank \d+ of 28/);
  }
  await tabTo(page, '#assign');
  await page.keyboard.press('Enter');
  assert.equal((await window.sent('assign-scheme'))[0]?.layers.length, 4);

  await tabTo(page, '#budget');
  const before = await page.locator('#budget-text').textContent();
  for (let presses = 0; presses < 40; presses += 1) await page.keyboard.press('ArrowLeft');
  assert.notEqual(await page.locator('#budget-text').textContent(), before);
  await tabTo(page, '#apply');
  await page.keyboard.press('Enter');
  const bits = (await window.sent('apply-bits'))[0]?.bits ?? {};
  assert.equal(Object.keys(bits).length, 28);
  assert.ok(new Set(Object.values(bits)).size > 1);

  for (const [id, name, pattern] of [
    ['export-png', 'sensitivity.png', /^iVBORw0KGgo/],
    ['export-svg', 'sensitivity.svg', /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/],
    ['export-csv', 'sensitivity.csv', /^layer,block,role/],
  ] as const) {
    await tabTo(page, `#${id}`);
    await page.keyboard.press('Enter');
    const file = (await window.sent('save-file')).find((message) => message.name === name);
    assert.match(file?.content ?? '', pattern);
  }

  // By a regular expression: type it, switch it on, choose all that is left.
  await tabTo(page, '#filter');
  await page.keyboard.type('layers\\.[01]\\..*down');
  await tabTo(page, '#regular-expression');
  await page.keyboard.press(' ');
  await tabTo(page, '#choose-all');
  await page.keyboard.press('Enter');
  assert.match((await chosenCount(window)) ?? '', /^2 layers chosen/);
  await page.locator('#filter').fill('(');
  assert.match((await page.locator('#filter-error').textContent()) ?? '', /This is no regular expression/);
  assert.deepEqual(window.failures, []);
});

test('the mouse: one, more with Ctrl, a rectangle with Shift, the rule by two clicks; and the colours of the recipe follow', async () => {
  await using window = await openWebviewWindow('sensitivity');
  const { page } = window;
  const analysis = sensitivityAnalysis(4);
  await show(window, analysis);
  await page.locator('#siblings').uncheck();
  const click = async (
    row: number,
    column: number,
    options: Parameters<typeof page.locator>[1] & { modifiers?: ('Control' | 'Shift')[]; clickCount?: number } = {},
  ) => {
    const box = await page.locator('#scroll').boundingBox();
    assert.ok(box);
    const [label, head, height] = [14 + 7 * 'block 0'.length, 26, 40];
    const width = (box.width - label - 2) / 7;
    await page.locator('#scroll').click({ position: { x: label + (column + 0.5) * width, y: head + (row + 0.5) * height }, ...options });
  };
  await click(0, 0);
  assert.equal(await chosenCount(window), '1 layer chosen');
  await click(1, 1, { modifiers: ['Control'] });
  assert.equal(await chosenCount(window), '2 layers chosen');
  await click(0, 0);
  await click(2, 3, { modifiers: ['Shift'] });
  assert.equal(await chosenCount(window), '12 layers chosen');
  await click(3, 6, { clickCount: 2 });
  assert.equal((await window.sent('reveal-rule')).at(-1)?.layer, layerName(3, 'down_proj'));
  const picture = (): Promise<string> => page.locator('#canvas').evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
  const anotherThan = async (seen: string): Promise<string> => {
    for (;;) {
      const now = await picture();
      if (now !== seen) return now;
      await page.waitForTimeout(20);
    }
  };
  const before = await picture();
  await window.send({ kind: 'show-rules', rules: layerRules(analysis, [layerName(0, 'q_proj')]) });
  const raised = await anotherThan(before);
  await window.send({ kind: 'highlight-layers', layers: [layerName(1, 'q_proj')] });
  await anotherThan(raised);
});

test('a layer named as markup is shown and not run; no inline script runs on the page', async () => {
  await using window = await openWebviewWindow('sensitivity');
  const analysis = sensitivityAnalysis(2);
  const [first] = analysis.layers;
  assert.ok(first);
  first.name = evilName;
  first.role = evilName;
  await show(window, analysis);
  await window.page.locator('#table-part summary').click();
  await window.page.locator('#table tbody th', { hasText: evilName }).waitFor();
  await window.page.focus('#scroll');
  for (const key of ['End', 'Home', 'ArrowRight']) await window.page.keyboard.press(key);
  await assertNothingRuns(window);
});

test('what was chosen outlives a reload', async () => {
  await using window = await openWebviewWindow('sensitivity');
  const { page } = window;
  const analysis = sensitivityAnalysis(4);
  await show(window, analysis);
  await page.locator('#bits').selectOption('all');
  await page.locator('#order').selectOption('worst');
  await page.locator('#choose-worst').click();
  await page.locator('#budget').fill('3.50');
  await window.reload();
  await show(window, analysis);
  assert.equal(await page.locator('#bits').inputValue(), 'all');
  assert.equal(await page.locator('#order').inputValue(), 'worst');
  assert.match((await chosenCount(window)) ?? '', /^3 layers chosen/);
  assert.equal(await page.locator('#budget').inputValue(), '3.5');
  // What the host needs to open the page again stands there too.
  assert.deepEqual(await page.evaluate(() => (JSON.parse(sessionStorage.getItem('state') ?? '{}') as { saved: unknown }).saved), saved);
});

test('the bundle holds no way to run text and asks no network', () => {
  const bundle = readFileSync(path.join(__dirname, '..', '..', '..', '..', 'dist', 'webviews', 'sensitivity.js'), 'utf8');
  for (const word of ['innerHTML', 'insertAdjacentHTML', 'eval(', 'new Function', 'XMLHttpRequest', 'fetch('])
    assert.ok(!bundle.includes(word), word);
});
