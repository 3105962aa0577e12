// What every page of the extension must pass: axe and its width in four themes, wide and narrow, all of it by keyboard, and a policy that runs no name.
import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';
import { axeViolations } from './axe.js';
import { pageThemes, type WebviewWindow } from './webview-window.js';

export interface ThemeChecks {
  /** Of the pictures: build/pictures/NAME-THEME-WIDTH.png. */
  name: string;
  /** After every load of the page: what it shows, with all of it open that axe is to see. */
  show(): Promise<void>;
  /** Before the picture is taken. */
  settle?(): Promise<void>;
}

/** axe finds no violation and nothing is wider than the page, in four themes at 1000 and 360 pixels. */
export async function checkThemes(window: WebviewWindow, { name, show, settle }: ThemeChecks): Promise<void> {
  const { page } = window;
  for (const theme of pageThemes)
    for (const width of [1000, 360]) {
      await page.setViewportSize({ width, height: 900 });
      await window.setTheme(theme);
      await show();
      assert.deepEqual(await axeViolations(page), [], `${theme}, ${width} px`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide at ${width} px`);
      await settle?.();
      await page.mouse.move(0, 0);
      await window.takePicture(`${name}-${theme}-${width}`);
    }
  assert.deepEqual(window.failures, []);
  // It does look: a picture without a text is found.
  await page.evaluate(() => document.querySelector('main')?.append(document.createElement('img')));
  assert.match((await axeViolations(page)).join(), /image-alt/);
}

/** Tabs until what the selector names has the focus. */
export async function tabTo(page: Page, selector: string): Promise<void> {
  for (let steps = 0; steps < 80; steps += 1) {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) === true, selector)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`${selector} cannot be reached`);
}

/** A name that would run if it were taken for markup. */
export const evilName = '<img src=x onerror="document.title=1">.layers.0.mlp.up_proj';

/** No name has become an element, and the policy itself holds: a script that is put into the page does nothing. */
export async function assertNothingRuns({ page, failures }: WebviewWindow): Promise<void> {
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.title(), '<b>page</b>');
  assert.deepEqual(failures, []);
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'document.title = "ran"';
    document.body.append(script);
    document.body.insertAdjacentHTML('beforeend', '<img src="x" onerror="document.title = \'ran\'">');
  });
  await page.waitForTimeout(200);
  assert.equal(await page.title(), '<b>page</b>');
  assert.ok(
    failures.some((text) => /Content Security Policy/.test(text)),
    failures.join('\n'),
  );
}
