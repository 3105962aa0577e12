// What every page of the extension must pass: axe and its width in four themes, wide and narrow, all of it by keyboard, and a policy that runs no name.
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { FrameLocator, Page } from 'playwright-core';
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
      assert.deepEqual(await cutWithoutSign(page), [], `${theme}, ${width} px`);
      await settle?.();
      await page.mouse.move(0, 0);
      await window.takePicture(`${name}-${theme}-${width}`);
    }
  assert.deepEqual(window.failures, []);
  // It does look: a picture without a text is found.
  await page.evaluate(() => document.querySelector('main')?.append(document.createElement('img')));
  assert.match((await axeViolations(page)).join(), /image-alt/);
}

/** What is wider than its frame, where the frame shows no shaded edge or the keyboard does not reach it. */
export const cutWithoutSign = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const scrolled = [...document.querySelectorAll<HTMLElement>('main *')].filter(
      (frame) => frame.scrollWidth > frame.clientWidth && ['auto', 'scroll'].includes(getComputedStyle(frame).overflowX),
    );
    const isPlain = (frame: HTMLElement): boolean => frame.tabIndex >= 0 && getComputedStyle(frame).boxShadow !== 'none';
    return scrolled.filter((frame) => !isPlain(frame)).map(({ id, className }) => `${id} ${className}`);
  });

/** Tabs until what the selector names has the focus. */
export async function tabTo(page: Page, selector: string): Promise<void> {
  for (let steps = 0; steps < 80; steps += 1) {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) === true, selector)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`${selector} cannot be reached`);
}

/** Until a page has kept where it is scrolled to, which it does by its own clock, a moment after the last movement (client/webviews/kept-places.ts). */
export async function placesKept(page: Page | FrameLocator): Promise<void> {
  await page.locator('html').evaluate(async () => {
    const frame = (): Promise<unknown> => new Promise(requestAnimationFrame);
    // A movement is told with the next frame.
    await frame();
    await frame();
    await new Promise((resolve) => window.setTimeout(resolve, 300));
  });
}

/** Until what is looked at is as it should be: places and pictures are there some frames after the page that holds them. */
export async function assertSettles(look: () => Promise<unknown>, wanted: unknown, message?: string): Promise<void> {
  const end = Date.now() + 60_000;
  let seen = await look();
  while (!isDeepStrictEqual(seen, wanted) && Date.now() < end) {
    await setTimeout(50);
    seen = await look();
  }
  assert.deepEqual(seen, wanted, message);
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
  const isRefused = (): boolean => failures.some((text) => /Content Security Policy/.test(text));
  while (!isRefused()) await page.waitForEvent('console');
  assert.equal(await page.title(), '<b>page</b>');
}

/** What the menu of a panel lists, after it was opened by keyboard; saves each picture in every form that it has, and reads what is sent. */
export async function exportAll(window: WebviewWindow, panel: string): Promise<Map<string, string>> {
  const { page } = window;
  await tabTo(page, `${panel} .export > summary`);
  await page.keyboard.press('Enter');
  const buttons = page.locator(`${panel} .export button`);
  await buttons.first().waitFor();
  const before = (await window.sent('save-file')).length;
  const wanted = await buttons.count();
  for (let at = 0; at < wanted; at += 1) {
    await page.keyboard.press('Tab');
    // Each is named by its form and its picture.
    assert.match((await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))) ?? '', /^(PNG|SVG|CSV): ./);
    await page.keyboard.press('Enter');
    while ((await window.sent('save-file')).length <= before + at) await page.waitForTimeout(20);
  }
  const files = (await window.sent('save-file')).slice(before);
  for (const { name, content, encoding } of files) {
    if (name.endsWith('.png')) assert.match(content, /^iVBORw0KGgo/, name);
    else assert.equal(encoding, 'utf8');
    window.keepFile(name, content, encoding);
    if (!name.endsWith('.svg')) continue;
    // A file of its own: no variable, class or style sheet of the page.
    assert.match(content, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/, name);
    assert.doesNotMatch(content, /var\(|class=|NaN|<style/, name);
    const faults = await page.evaluate(
      (text) => new DOMParser().parseFromString(text, 'image/svg+xml').querySelectorAll('parsererror').length,
      content,
    );
    assert.equal(faults, 0, name);
  }
  await page.keyboard.press('Escape');
  assert.ok(await page.evaluate((selector) => document.activeElement === document.querySelector(selector), `${panel} .export > summary`));
  return new Map(files.map(({ name, content }) => [name, content]));
}
