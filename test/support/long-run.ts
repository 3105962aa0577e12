// A run of some seconds in a VS Code window, long enough to be disturbed, and what an undisturbed one writes.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { runBitwright } from './bitwright-process.js';
import { repositoryRoot } from './shared.js';
import type { VscodeWindow } from './vscode-window.js';

export const longRecipe = 'long.quant.yaml';

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

/** The recipe and its rows: the example's texts, again and again. */
export function longRunFiles(repeats = 12): Record<string, string> {
  const rows = readFileSync(path.join(repositoryRoot, 'examples', 'data', 'calibration.jsonl'), 'utf8');
  return { [longRecipe]: recipe, 'many.jsonl': rows.repeat(repeats) };
}

export const longOutput = ({ folder }: VscodeWindow): string => path.join(folder, 'out', 'long');

export async function finishedBlocks(window: VscodeWindow, wanted: number): Promise<void> {
  const journal = path.join(`${longOutput(window)}.run`, 'journal.jsonl');
  for (;;) {
    const lines = existsSync(journal) ? readFileSync(journal, 'utf8').trim().split('\n') : [];
    if (lines.filter((line) => line !== '').length >= wanted) return;
    assert.ok(!existsSync(longOutput(window)), 'the run ended before it could be disturbed');
    await window.page.waitForTimeout(50);
  }
}

/** The checkpoint of the window is the one that the command line writes without being disturbed. */
export async function assertUndisturbed(window: VscodeWindow): Promise<void> {
  const undisturbed = path.join(window.folder, 'out', 'undisturbed');
  const { code, stderr } = await runBitwright(['quantize', path.join(window.folder, longRecipe), '--out', undisturbed]);
  assert.equal(code, 0, stderr);
  const weights = (dir: string): Buffer => readFileSync(path.join(dir, 'model.safetensors'));
  assert.ok(weights(longOutput(window)).equals(weights(undisturbed)), 'bit-identical');
}
