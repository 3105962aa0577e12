// Story: the walkthrough from nothing to a first quantized model, by its own buttons: each step is marked when it is done, and not before.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Locator } from 'playwright-core';
import { assertSettles } from '../../support/page-checks.js';
import { clickAndLeave } from '../../support/quick-input.js';
import { openVscodeWindow, runPatience } from '../../support/vscode-window.js';

const root = path.join(__dirname, '..', '..', '..', '..');
const read = (file: string): unknown => JSON.parse(readFileSync(path.join(root, file), 'utf8'));

const texts = read('package.nls.json') as Record<string, string>;
const manifest = read('package.json') as {
  contributes: { walkthroughs: { steps: { title: string; description: string; media: { markdown: string } }[] }[] };
};
const textOf = (key: string): string => texts[key.slice(1, -1)] ?? assert.fail(key);
const steps = (manifest.contributes.walkthroughs[0]?.steps ?? []).map(({ title, description, media }) => ({
  title: textOf(title),
  /** How the page beside it begins, without marks. */
  page:
    readFileSync(path.join(root, media.markdown), 'utf8')
      .split('\n', 1)[0]
      ?.replace(/\*\*|`/g, '') ?? '',
  buttons: [...textOf(description).matchAll(/\[([^\]]+)\]\(command:/g)].map(([, label]) => label),
}));

test('the walkthrough leads to a first quantized model and marks what has been done', async () => {
  // Narrower windows leave out the pages beside the steps.
  await using window = await openVscodeWindow({ width: 1600, height: 900 });
  const { page } = window;
  const shown = page.locator('.getting-started-step');
  const step = (title: string): Locator => shown.filter({ has: page.locator('.step-title', { hasText: title }) });
  const open = async (): Promise<void> => {
    await window.run('Welcome: Open Walkthrough...');
    const row = page.locator('.quick-input-list .monaco-list-row', { hasText: texts['walkthrough.title'] ?? '' });
    await row.first().click();
    await shown.first().waitFor();
  };
  const inspect = async (title: string): Promise<void> => {
    if ((await step(title).getAttribute('aria-expanded')) !== 'true') await step(title).locator('.step-title').click();
    await step(title).locator('.monaco-button').first().waitFor();
  };
  /** Opens the walkthrough at a step and presses a button of it. */
  const press = async (title: string, button: string): Promise<void> => {
    await open();
    await inspect(title);
    await step(title).locator('.monaco-button', { hasText: button }).click();
  };
  /** A step is drawn anew when its command begins, and takes the focus: the list stays. */
  const pressAndChoose = async (title: string, button: string, label: string): Promise<void> => {
    await press(title, button);
    await clickAndLeave(page.locator('.quick-input-list .monaco-list-row', { hasText: label }).first());
  };
  const isDone = (title: string): Promise<void> => step(title).locator('.codicon-getting-started-step-checked').waitFor();
  const titlesDone = async (): Promise<string[]> =>
    shown
      .filter({ has: page.locator('.codicon-getting-started-step-checked') })
      .locator('.step-title')
      .allTextContents();

  await window.open('settings.json');
  await open();
  assert.equal(steps.length, 8);
  assert.deepEqual(
    await shown.locator('.step-title').allTextContents(),
    steps.map(({ title }) => title),
  );
  assert.deepEqual(await titlesDone(), []);
  for (const { title, buttons } of steps) {
    await inspect(title);
    assert.deepEqual(await step(title).locator('.monaco-button').allTextContents(), buttons, title);
  }
  for (const theme of ['Light Modern', 'Dark Modern'] as const) {
    await window.setTheme(theme);
    for (const [place, { title, page: beginning }] of steps.entries()) {
      await inspect(title);
      await window.webview().locator('body', { hasText: beginning }).waitFor({ state: 'attached' });
      await window.takePicture(`walkthrough-${place + 1}${theme === 'Light Modern' ? '-light' : ''}`);
    }
  }

  // Where there is nothing yet, a button says so.
  await press('See which layer hurts', 'Open Report');
  await window.notification('There is no report in this workspace yet').waitFor();
  await press('Compare two runs', 'Compare Runs');
  await window.notification('There are not two runs in this workspace yet').waitFor();
  assert.deepEqual(await titlesDone(), []);

  await press('Write a recipe', 'New Recipe');
  await page.locator('.view-line', { hasText: 'path/to/model' }).waitFor();
  await window.run('View: Revert and Close Editor');
  await open();
  await assertSettles(titlesDone, ['Write a recipe']);

  await press('Mend what would go wrong', 'Show Problems');
  await page.locator('.markers-panel').waitFor();
  await window.run('View: Toggle Panel Visibility');
  await pressAndChoose('See the plan', 'Show Plan', 'w8a16-rtn');
  await page.locator('.tab.active', { hasText: 'plan' }).waitFor();
  await pressAndChoose('Quantize', 'Quantize', 'w8a16-rtn');
  await page.locator('.tab.active', { hasText: 'Report: w8a16-rtn' }).waitFor({ timeout: runPatience });
  await window.webview().locator('#heatmap .cell').first().waitFor();
  assert.ok(existsSync(path.join(window.folder, 'out', 'w8a16-rtn', 'model.safetensors')));
  await window.run('View: Close Editor');
  await press('See which layer hurts', 'Open Report');
  await page.locator('.tab.active', { hasText: 'Report: w8a16-rtn' }).waitFor();
  await open();
  await assertSettles(
    titlesDone,
    steps.slice(0, 5).map(({ title }) => title),
  );

  await pressAndChoose('Measure how sensitive each layer is', 'Analyze Layer Sensitivity', 'w4a16-gptq');
  await page.locator('.quick-input-list .monaco-list-row', { hasText: 'Predicted loss' }).waitFor();
  await page.keyboard.press('Enter');
  await page.locator('.tab.active', { hasText: 'Sensitivity' }).waitFor({ timeout: runPatience });
  await window.run('View: Close Editor');
  await pressAndChoose('Give every layer its bits', 'Open Sensitivity Heatmap', 'w4a16-gptq');
  await page.locator('.tab.active', { hasText: 'Sensitivity' }).waitFor();
  await open();
  await isDone('Measure how sensitive each layer is');
  await page.waitForTimeout(700);
  await window.takePicture('walkthrough-done');
});
