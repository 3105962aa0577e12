// A report as one file, opened in a browser as anyone would: drawn with its histograms, without a fault that the browser or axe finds, in light, dark and with more contrast, wide and narrow.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromium, type Page } from 'playwright-core';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { axeViolations } from '../../support/axe.js';
import { runBitwright } from '../../support/bitwright-process.js';
import { finishRun } from '../../support/finished-run.js';
import { takePicture } from '../../support/picture.js';
import { repositoryRoot } from '../../support/shared.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

interface VscodeScript {
  browserArguments: string[];
  installBrowser(): string;
}

/** There is no extension that writes: the file comes as a download. */
async function assertSaved(page: Page): Promise<void> {
  await page.locator('.panel:has(> #heatmap) .export > summary').click();
  for (const [format, begin] of [
    ['PNG', /^\x89PNG/],
    ['SVG', /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/],
    ['CSV', /^layer,scheme,/],
  ] as const) {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.locator(`.panel:has(> #heatmap) [data-format="${format}"]`).click(),
    ]);
    assert.equal(download.suggestedFilename(), `Relative-output-error-of-each-layer.${format.toLowerCase()}`);
    assert.match(readFileSync(await download.path(), 'latin1'), begin);
  }
  await page.locator('.panel:has(> #heatmap) .export > summary').click();
}

test('bitwright report --html: one file that draws all, loads nothing and runs no name', async () => {
  const folder = temporaryFolder('standalone-report');
  await finishRun(folder);
  const file = path.join(folder, 'out.run', 'report.json');
  const report = JSON.parse(readFileSync(file, 'utf8')) as RunReport;
  const odd = '<img src=x onerror=document.title=1></script>';
  report.layers[0]!.name = odd;
  writeFileSync(file, JSON.stringify(report));
  const written = await runBitwright(['report', 'out', '--html', 'report.html'], { cwd: folder });
  assert.equal(written.code, 0, written.stderr);

  mkdirSync(path.join(repositoryRoot, 'build', 'pictures'), { recursive: true });
  const script = (await import(pathToFileURL(path.join(repositoryRoot, 'scripts', 'vscode.mjs')).href)) as VscodeScript;
  const browser = await chromium.launch({ executablePath: script.installBrowser(), args: script.browserArguments });
  try {
    for (const colorScheme of ['light', 'dark'] as const)
      for (const contrast of ['no-preference', 'more'] as const)
        for (const width of [1100, 360]) {
          const page = await browser.newPage({ colorScheme, contrast, viewport: { width, height: 900 } });
          const failures: string[] = [];
          page.on('pageerror', (error) => failures.push(error.message));
          page.on('console', (message) => message.type() === 'error' && failures.push(message.text()));
          page.on('request', (request) => !request.url().startsWith('file:') && failures.push(request.url()));
          await page.goto(pathToFileURL(path.join(folder, 'report.html')).href);
          await page.locator('#heatmap .cell').first().waitFor();
          await page.locator('#weights svg').first().waitFor();
          await page.locator('#depth-bars .depth-bar').first().waitFor();
          await page.locator('#level').selectOption('columns');
          await page.locator('#weights .minis svg').first().waitFor();
          await page.locator('#all-weights > summary').click();
          await page.locator('#minis .mini-layer').first().waitFor();
          const what = `${colorScheme}, contrast ${contrast}, ${width} px`;
          assert.deepEqual(await axeViolations(page), [], what);
          assert.ok((await page.locator('#table').textContent())?.includes(odd), what);
          assert.match(await page.title(), /^Report: /, what);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert.ok(overflow <= 0, `${overflow} px too wide: ${what}`);
          assert.deepEqual(failures, [], what);
          if (width === 1100) await assertSaved(page);
          const picture = `standalone-report-${colorScheme}${contrast === 'more' ? '-contrast' : ''}-${width}`;
          await takePicture(page, picture);
          await page.close();
        }
  } finally {
    await browser.close();
  }
});
