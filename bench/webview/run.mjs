// How long the sensitivity page takes to draw 126 blocks × 7 projections × 5 numbers of bits, and how long each frame takes while it is scrolled. Needs the build and its tests (npx tsc -b, node scripts/build.mjs). Prints a table for results.md.
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const built = (name) => import(pathToFileURL(path.join(root, 'build/test/support', name)).href);
const { default: fixture } = await built('sensitivity-fixture.js');
const { default: windows } = await built('webview-window.js');

const n_draws = 15;
const n_frames = 240;
const sorted = (values) => [...values].sort((a, b) => a - b);
const quantile = (values, share) => sorted(values)[Math.min(values.length - 1, Math.floor(share * values.length))];
const text = (value) => value.toFixed(1);

const analysis = fixture.sensitivityAnalysis(126, [2, 3, 4, 6, 8]);
const rules = fixture.layerRules(analysis);
const window = await windows.openWebviewWindow('sensitivity', { width: 1200, height: 900 });
const { page } = window;
try {
  await window.send({
    kind: 'show-analysis',
    analysis,
    recipeName: 'bench.quant.yaml',
    saved: { folder: '/bench', recipe: 'file:///bench.quant.yaml' },
  });
  await window.send({ kind: 'show-rules', rules });
  await page.locator('#bits').selectOption('all');
  await page.locator('#budget-text', { hasText: 'The recipe now' }).waitFor();
  // The whole page anew, up to the frame after it: the script's own time, and until the browser has drawn it.
  const draws = await page.evaluate(
    async ([message, count]) => {
      const found = [];
      const frame = () => new Promise((done) => requestAnimationFrame(done));
      for (let round = 0; round < count; round += 1) {
        await frame();
        const began = performance.now();
        dispatchEvent(new MessageEvent('message', { data: message }));
        const script = performance.now() - began;
        await frame();
        await new Promise((done) => setTimeout(done));
        found.push([script, performance.now() - began]);
      }
      return found;
    },
    [
      { kind: 'show-analysis', analysis, recipeName: 'bench.quant.yaml', saved: { folder: '/bench', recipe: 'file:///bench.quant.yaml' } },
      n_draws,
    ],
  );
  await page.locator('#budget-text', { hasText: 'The recipe now' }).waitFor();
  // The slider: every position is solved again from the cached scores.
  const slides = await page.evaluate(() => {
    const slider = document.getElementById('budget');
    const found = [];
    for (let step = 0; step < 100; step += 1) {
      slider.value = String(Number(slider.min) + ((Number(slider.max) - Number(slider.min)) * step) / 99);
      const began = performance.now();
      slider.dispatchEvent(new Event('input'));
      found.push(performance.now() - began);
    }
    return found;
  });
  // From frame to frame, and what the page itself needs of it: from the frame's begin, where it is scrolled, until layout and paint are done.
  const scrolled = await page.evaluate(async (count) => {
    const scroll = document.getElementById('scroll');
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const { port1, port2 } = new MessageChannel();
    const painted = () =>
      new Promise((done) => {
        port1.onmessage = done;
        port2.postMessage(null);
      });
    const frames = [];
    const work = [];
    let last = await frame();
    for (let at = 0; at < count; at += 1) {
      const now = await frame();
      const began = performance.now();
      frames.push(now - last);
      last = now;
      scroll.scrollTop = (at * 37) % (scroll.scrollHeight - scroll.clientHeight);
      await painted();
      work.push(performance.now() - began);
    }
    return { frames, work };
  }, n_frames);
  const scripts = draws.map(([script]) => script);
  const painted = draws.map(([, whole]) => whole);
  process.stdout.write(
    `${os.cpus()[0]?.model ?? 'unknown processor'}, ${os.cpus().length} threads, Chromium ${page.context().browser().version()} without a graphics card\n\n`,
  );
  process.stdout.write('| what | median, ms | p95, ms |\n| --- | --- | --- |\n');
  for (const [name, values] of [
    ['draw the page: script', scripts],
    ['draw the page: until it is on the screen', painted],
    ['one position of the budget slider', slides],
    ['frame while scrolling', scrolled.frames],
    ['the page’s own work in such a frame', scrolled.work],
  ])
    process.stdout.write(`| ${name} | ${text(quantile(values, 0.5))} | ${text(quantile(values, 0.95))} |\n`);
  const missed = scrolled.frames.filter((time) => time > 1.5 * (1000 / 60)).length;
  process.stdout.write(`\nFrames missed: ${missed} of ${n_frames}.\n`);
} finally {
  await window[Symbol.asyncDispose]();
}
