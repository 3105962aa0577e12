// Pictures of a page in a browser, to be looked at: in build/pictures.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { errors, type Page, type PageScreenshotOptions } from 'playwright-core';
import { repositoryRoot } from './shared.js';

const patience = 20_000;

/**
 * Writes build/pictures/NAME.png. Chromium sometimes never hands out the frame that a screenshot waits for, most likely after a page
 * has got another size: then the page gets another size for a moment, which draws it anew, and the picture is asked for again.
 */
export async function takePicture(
  page: Page,
  name: string,
  options: Pick<PageScreenshotOptions, 'clip' | 'fullPage' | 'animations'> = {},
): Promise<void> {
  const folder = path.join(repositoryRoot, 'build', 'pictures');
  mkdirSync(folder, { recursive: true });
  const take = async (): Promise<void> =>
    void (await page.screenshot({ ...options, path: path.join(folder, `${name}.png`), timeout: patience }));
  const size = page.viewportSize();
  for (let tries = 1; ; tries += 1)
    try {
      return await take();
    } catch (error) {
      if (!(error instanceof errors.TimeoutError) || tries === 3 || size === null) throw error;
      console.warn(`The picture ${name} did not come within ${patience / 1000} s, and is taken again.`);
      await page.setViewportSize({ ...size, height: size.height + 1 });
      await page.setViewportSize(size);
    }
}
