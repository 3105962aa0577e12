// Story: analyze the example, see which layers hurt, raise the worst three to 8 bits in the picture, run again, compare both runs: the perplexity has fallen.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { clickAndLeave } from '../../support/quick-input.js';
import { openVscodeWindow, runPatience } from '../../support/vscode-window.js';

const recipe = 'w4a16-gptq.quant.yaml';

const reportOf = (folder: string): RunReport => JSON.parse(readFileSync(path.join(folder, 'report.json'), 'utf8')) as RunReport;

test('analyze, raise the three worst layers, quantize, compare', async () => {
  await using window = await openVscodeWindow({ width: 1500, height: 950 });
  const { page, folder } = window;
  await window.open(recipe);
  await page.locator('.codelens-decoration', { hasText: '28 of 30 layers' }).waitFor();
  await window.showSideBar(false);

  // Gradients need rows, and this recipe has none: said at once, and nothing begins.
  await window.open('w8a16-rtn.quant.yaml');
  await window.run('Bitwright: Analyze Layer Sensitivity');
  await page.locator('.quick-input-widget .monaco-list-row', { hasText: 'Not with this recipe. The Fisher information needs' }).click();
  await page.keyboard.press('Enter');
  await window.notification('The Fisher information needs the gradients of calibration rows, and the recipe has none').waitFor();
  assert.ok(!existsSync(path.join(folder, 'out')));
  await window.run('Notifications: Clear All Notifications');
  await window.run('View: Close Editor');
  await window.open(recipe);

  // The run as it is: what is to become better.
  await window.run('Bitwright: Quantize');
  await window.notification('Quantized.').waitFor({ timeout: runPatience });
  const first = reportOf(path.join(folder, 'out', 'w4a16-gptq.run'));

  await window.open(recipe);
  await window.run('Bitwright: Analyze Layer Sensitivity');
  const question = page.locator('.quick-input-widget');
  const measure = (name: string) => question.locator('.monaco-list-row', { hasText: name });
  await measure('Predicted loss')
    .filter({ hasText: /Time: about 4 passes of 256 rows\. Memory: about \d+\.\d MB\. Disk: 1\.6 MB\./ })
    .waitFor();
  await window.takePicture('sensitivity-question');
  await measure('Predicted loss').click();
  await page.keyboard.press('Enter');
  await page.locator('.statusbar-item', { hasText: /Analyzing \d+ %/ }).waitFor();
  await page.locator('.tab.active', { hasText: 'Sensitivity: w4a16-gptq' }).waitFor({ timeout: runPatience });
  assert.ok(existsSync(path.join(folder, 'out', 'w4a16-gptq.analysis', 'sensitivity.json')));
  const heat = window.webview();
  await heat.locator('#summary', { hasText: '28 layers. Worst by predicted loss change (Fisher) with 4 bits' }).waitFor();
  await heat.locator('#definition', { hasText: 'unit: nats per token; source: diagonal empirical Fisher of SqueezeLLM' }).waitFor();
  await window.takePicture('sensitivity-fisher');
  await heat.locator('#figure').selectOption('relative_output_error');
  await heat.locator('#summary', { hasText: '28 layers. Worst by relative output error with 4 bits' }).waitFor();
  await window.run('Notifications: Clear All Notifications');

  // The picture is painted: its cells have more colours than its ground.
  const colors = await heat.locator('#canvas').evaluate((canvas: HTMLCanvasElement) => {
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
    const found = new Set<number>();
    for (let at = 0; at < data.length; at += 4 * 97) found.add(((data[at] ?? 0) << 16) | ((data[at + 1] ?? 0) << 8) | (data[at + 2] ?? 0));
    return found.size;
  });
  assert.ok(colors > 20, `${colors} colours`);

  await heat.locator('#choose-worst').click();
  await heat.locator('#chosen', { hasText: '3 layers chosen' }).waitFor();
  await window.takePicture('sensitivity');
  await heat.locator('#raise').click();
  const proposal = page.locator('.tab.active', { hasText: `${recipe}: 5 layers` });
  await proposal.waitFor();
  await page.locator('.editor.modified .view-lines', { hasText: 'int8' }).waitFor();
  await page.waitForTimeout(500);
  await window.takePicture('sensitivity-preview');
  await window.answer('5 layers. Change the recipe so?', 'Apply');
  await proposal.waitFor({ state: 'detached' });

  // The heatmap follows: what is raised shows its new bits, and the recipe has no problem.
  await heat.locator('#budget-text', { hasText: 'The recipe now:' }).waitFor();
  await page.locator('.tab', { hasText: recipe }).click();
  await page.locator('.view-lines', { hasText: 'int8' }).waitFor();
  assert.equal(await page.locator('.editor-instance .squiggly-error, .editor-instance .squiggly-warning').count(), 0);
  const modified = ((await page.locator('.editor-instance .view-lines').first().textContent()) ?? '').replaceAll('\u00a0', ' ');
  assert.match(modified, /rank 1 of 28/);
  await window.takePicture('sensitivity-edited');

  // One step undoes it, another does it again.
  await page.keyboard.press('Control+Z');
  await page.locator('.view-lines', { hasText: 'scheme: W4A16' }).waitFor();
  await page.keyboard.press('Control+Y');
  await page.locator('.view-lines', { hasText: 'int8' }).waitFor();

  await window.run('Bitwright: Quantize');
  await page.locator('.statusbar-item', { hasText: /Quantizing \d+ %/ }).waitFor();
  await window.notification('Quantized.').waitFor({ timeout: runPatience });
  const second = reportOf(path.join(folder, 'out', 'w4a16-gptq.run'));
  const raised = second.layers.filter(({ scheme }) => scheme?.startsWith('int8'));
  assert.deepEqual(raised.map(({ name }) => name.replace('model.layers.', '')).sort(), [
    '0.self_attn.k_proj',
    '0.self_attn.q_proj',
    '0.self_attn.v_proj',
    '2.mlp.gate_proj',
    '2.mlp.up_proj',
  ]);
  const [before, after] = [first, second].map(({ quality }) => quality?.after?.perplexity ?? NaN);
  assert.ok((after ?? NaN) < (before ?? NaN), `perplexity ${before} before, ${after} after`);
  assert.equal(readdirSync(path.join(folder, 'out', 'w4a16-gptq.history')).length, 1);

  await window.run('Notifications: Clear All Notifications');
  // One page at a time in the window.
  await window.run('View: Close All Editors');
  await window.run('Bitwright: Compare Runs');
  // The last run, and the one before it.
  for (const question of ['Which run?', 'Compared with which runs?']) {
    await page.locator(`.quick-input-widget input[placeholder="${question}"]`).waitFor();
    await clickAndLeave(page.locator('.quick-input-list .monaco-list-row', { hasText: recipe }).first());
  }
  await page.keyboard.press('Enter');
  await page.locator('.tab.active', { hasText: 'Comparison of Runs' }).waitFor();
  const comparison = window.webview();
  const perplexity = comparison.locator('#figures tr', { hasText: 'Perplexity' });
  await perplexity.locator('.better').waitFor();
  assert.ok(((await perplexity.textContent()) ?? '').includes((after ?? NaN).toFixed(4)));
  await comparison.locator('#recipe .added', { hasText: 'int8' }).waitFor();
  await comparison.locator('.cell[data-key="model.layers.2.mlp.up_proj"]', { hasText: '÷' }).waitFor();
  await page.mouse.move(0, 0);
  await window.takePicture('comparison');
});

const fewRows = `model: models/stories-and-sums-1m
calibration:
  dataset: data/calibration.jsonl
  num_calibration_samples: 8
output:
  dir: out/hessian
quant_stage:
  quant_modifiers:
    GPTQModifier:
      scheme: W4A16
      targets: ['re:.*mlp.down_proj$']
`;

test('the trace of the Hessian is chosen with its cost, and shown with what it predicts', async () => {
  await using window = await openVscodeWindow({ files: { 'hessian.quant.yaml': fewRows } });
  const { page } = window;
  await window.open('hessian.quant.yaml');
  await window.run('Bitwright: Analyze Layer Sensitivity');
  const measure = page.locator('.quick-input-widget .monaco-list-row', { hasText: 'Trace of the Hessian' });
  // Eight probes of two passes, each as long as four forwards.
  await measure.filter({ hasText: 'from 8 probes' }).filter({ hasText: 'Time: about 64 passes of 8 rows.' }).waitFor();
  await measure.click();
  await page.keyboard.press('Enter');
  await page.locator('.tab.active', { hasText: 'Sensitivity: hessian' }).waitFor();
  const heat = window.webview();
  await heat.locator('#summary', { hasText: '4 layers. Worst by predicted loss change (Hessian) with 4 bits' }).waitFor();
  await heat.locator('#definition', { hasText: 'source: Ω of HAWQ-V2' }).waitFor();
  assert.equal(await heat.locator('#loss').inputValue(), 'hessian_loss');
  await heat.locator('#figure').selectOption('hessian_trace');
  await heat.locator('#summary', { hasText: /Worst by trace of the Hessian: .*, [\d.]+ ± [\d.]+\.$/ }).waitFor();
  await window.takePicture('sensitivity-hessian');
});
