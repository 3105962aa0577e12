// Story: the gates of a recipe in the Test Explorer: a run decides them, one fails with its value at its line, and a second look judges the report that stands.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Locator } from 'playwright-core';
import { openVscodeWindow, runPatience } from '../../support/vscode-window.js';

const recipe = `model: models/stories-and-sums-1m
output:
  dir: out/gates
gates:
  max_size: 4GB
  max_bits_per_weight: 16
  max_perplexity: 1.01
evaluate:
  perplexity:
    dataset: data/validation.jsonl
    num_samples: 4
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W8A16
      targets: [Linear]
      ignore: [lm_head]
`;

test('gates are decided by a run, then by its report', async () => {
  await using window = await openVscodeWindow({ files: { 'gates.quant.yaml': recipe } });
  const { page, folder } = window;
  await window.open('gates.quant.yaml');
  await page.locator('.codelens-decoration').first().waitFor();
  await window.run('Testing: Focus on Test Explorer View');
  const items = page.locator('.test-explorer .monaco-list-row');
  await items.filter({ hasText: 'gates.quant.yaml' }).first().waitFor();
  await items.filter({ hasText: 'gates.quant.yaml' }).first().click();
  await page.keyboard.press('ArrowRight');
  await items.filter({ hasText: 'max_perplexity' }).first().waitFor();
  const report = path.join(folder, 'out', 'gates.run', 'report.json');
  const runId = (): string => (JSON.parse(readFileSync(report, 'utf8')) as { run_id: string }).run_id;

  await window.run('Test: Run All Tests');
  await window.notification('Quantized.').waitFor({ timeout: runPatience });
  const told = (gate: string, verdict: string): Locator =>
    page.locator(`.test-explorer .monaco-list-row[aria-label*="${verdict}"]`, { hasText: gate });
  await told('max_perplexity', 'Failed').first().waitFor();
  for (const name of ['max_size', 'max_bits_per_weight']) await told(name, 'Passed').first().waitFor();
  const first = runId();
  await window.run('Notifications: Clear All Notifications');
  await page.locator('.tab', { hasText: 'gates.quant.yaml' }).click();
  await page.locator('.editor-instance', { hasText: 'max_perplexity' }).first().waitFor();
  await page
    .locator('.test-error-content-widget', {
      hasText: /max_perplexity: the perplexity of the written file is [\d.]+, at most 1\.01 is wanted/,
    })
    .first()
    .waitFor();
  await window.takePicture('gates');

  await window.run('Test: Run All Tests');
  await page.locator('.test-explorer .result-summary', { hasText: '2/3' }).waitFor();
  await page.waitForTimeout(1000);
  assert.equal(runId(), first, 'judged without a second run');
});
