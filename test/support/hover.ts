// What shows itself only under the pointer.
import type { Locator } from 'playwright-core';
import { inTime } from './in-time.js';

/** Points at it until `shown` is there: what is drawn anew under a pointer that rests, or hears it before it knows what to show, takes no notice of it. */
export async function hoverUntil(of: Locator, shown: Locator): Promise<void> {
  for (let attempt = 1; attempt <= 6; attempt += 1) {
    await of.page().mouse.move(0, 0);
    await of.hover();
    if (await inTime(() => shown.waitFor({ timeout: 5_000 * attempt }))) return;
  }
  throw new Error(`Under the pointer ${String(of)} did not show ${String(shown)}.`);
}
