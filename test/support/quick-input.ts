// VS Code's lists that are typed into: of commands, of files. What is wanted is chosen once, and only when it stands there.
import type { Locator, Page } from 'playwright-core';
import { inTime } from './in-time.js';

/** Milliseconds in which a window that is at work hears a key, or shows a row that is there; longer with each attempt. */
const patience = 5_000;
/** A click that takes longer is lost: the row is in sight when it begins. */
const clickPatience = 30_000;

/**
 * Opens the list with the key, types the text and clicks the row that holds `row`. A list is opened again where a page that is drawn
 * anew took the focus, and with it the key or the list, or where it was made before the extension was known.
 */
export async function chooseFromList(page: Page, key: 'F1' | 'Control+P', text: string, row: string): Promise<void> {
  const input = page.locator('.quick-input-widget input');
  const wanted = page.locator('.quick-input-list .monaco-list-row', { hasText: row }).first();
  for (let attempt = 1; attempt <= 6; attempt += 1) {
    const timeout = patience * attempt;
    const isThere = await inTime(async () => {
      // The field in the title opens the same.
      if (attempt % 2 === 1) await page.keyboard.press(key);
      else await page.locator('.command-center-quick-pick').click({ timeout });
      await input.waitFor({ timeout });
      await input.fill(text, { timeout });
      await wanted.waitFor({ timeout });
    });
    if (isThere && (await inTime(() => clickAndLeave(wanted, clickPatience)))) return;
    await page.keyboard.press('Escape');
  }
  throw new Error(`The list of ${text} did not show ${row}.`);
}

/** The pointer goes: over a list that opens under it, it would call up a note that covers the rows. */
export async function clickAndLeave(row: Locator, timeout?: number): Promise<void> {
  await row.click(timeout === undefined ? {} : { timeout });
  await row.page().mouse.move(0, 0);
}

/** Right-clicks and chooses from the menu, which closes when a page takes the focus: then it is opened again. */
export async function chooseFromMenu(page: Page, of: Locator, label: string): Promise<void> {
  const item = page.locator('.monaco-menu .action-label', { hasText: label });
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    await of.click({ button: 'right' });
    if (await inTime(() => item.waitFor({ timeout: patience * attempt }))) {
      // A menu of VS Code hears no button in its first 100 ms, lest the click that opened it chooses.
      await page.waitForTimeout(300);
      if (await inTime(() => item.click({ timeout: clickPatience }))) return;
    }
    await page.keyboard.press('Escape');
  }
  throw new Error(`The menu did not offer ${label}.`);
}
