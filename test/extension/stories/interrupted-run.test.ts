// Story: a run is cancelled, taken up again, its worker is killed, taken up again; the checkpoint is the one of a run that nobody disturbed.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { runBitwright } from '../../support/bitwright-process.js';
import { openVscodeWindow, type VscodeWindow } from '../../support/vscode-window.js';

const recipe = `model: models/stories-and-sums-1m
calibration:
  dataset: many.jsonl
  max_seq_length: 256
output:
  dir: out/long
quant_stage:
  quant_modifiers:
    GPTQModifier:
      scheme: W4A16
      targets: [Linear]
      ignore: [lm_head]
`;

/** Enough rows for a run of some seconds: the example's texts, again and again. */
const examples = path.join(__dirname, '..', '..', '..', '..', 'examples');
const rows = readFileSync(path.join(examples, 'data', 'calibration.jsonl'), 'utf8').repeat(12);

const outputDir = (window: VscodeWindow): string => path.join(window.folder, 'out', 'long');

async function finishedBlocks(window: VscodeWindow, wanted: number): Promise<void> {
  const journal = path.join(`${outputDir(window)}.run`, 'journal.jsonl');
  for (;;) {
    const lines = existsSync(journal) ? readFileSync(journal, 'utf8').trim().split('\n') : [];
    if (lines.filter((line) => line !== '').length >= wanted) return;
    assert.ok(!existsSync(outputDir(window)), 'the run ended before it could be disturbed');
    await window.page.waitForTimeout(50);
  }
}

test('cancel, resume, kill the worker, resume: the same bytes', async () => {
  await using window = await openVscodeWindow({ files: { 'long.quant.yaml': recipe, 'many.jsonl': rows } });
  const { page } = window;
  await window.open('long.quant.yaml');
  await window.run('Bitwright: Quantize');
  await finishedBlocks(window, 1);
  await window.notification('Quantizing long.quant.yaml').getByRole('button', { name: 'Cancel' }).click();
  const cancelled = window.notification('The run was cancelled');
  await cancelled.waitFor();
  await window.takePicture('cancelled');
  assert.ok(!existsSync(outputDir(window)), 'a cancelled run leaves no checkpoint');

  await cancelled.getByRole('button', { name: 'Resume' }).click();
  await finishedBlocks(window, 2);
  const workers = window.workers();
  assert.equal(workers.length, 1, 'one worker');
  process.kill(workers[0] ?? 0, 'SIGKILL');
  const killed = window.notification(/worker/i);
  await killed.waitFor();
  await window.takePicture('worker-killed');
  assert.ok(!existsSync(outputDir(window)), 'a killed run leaves no checkpoint');

  // The editor is well: diagnostics still answer what is typed.
  await page.locator('.editor-instance .view-line', { hasText: 'max_seq_length' }).click();
  await page.keyboard.press('End');
  await page.keyboard.type('x');
  await page.locator('.editor-instance .squiggly-error').first().waitFor();
  await page.keyboard.press('Backspace');
  await page.locator('.editor-instance .squiggly-error').first().waitFor({ state: 'detached' });

  await killed.getByRole('button', { name: 'Run Again' }).click();
  await window.notification('Quantized.').waitFor();
  assert.deepEqual(window.workers().length, 1);

  const undisturbed = path.join(window.folder, 'out', 'undisturbed');
  const { code, stderr } = await runBitwright(['quantize', path.join(window.folder, 'long.quant.yaml'), '--out', undisturbed]);
  assert.equal(code, 0, stderr);
  const weights = (dir: string): Buffer => readFileSync(path.join(dir, 'model.safetensors'));
  assert.ok(weights(outputDir(window)).equals(weights(undisturbed)), 'bit-identical');
});
