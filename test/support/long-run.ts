// A run of some seconds in a VS Code window, long enough to be disturbed, and what an undisturbed one writes.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
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

/** A run whose worker stands still: whatever the window does meanwhile, and however long, the run is where it was. */
export interface HeldRun extends Disposable {
  readonly worker: number;
  release(): void;
  /** Releases it when the extension host that has started it is gone, and resolves when the worker is too. */
  outliveHost(): Promise<void>;
}

/** Holds the run at work when so many blocks of it are finished. */
export async function holdRun(window: VscodeWindow, wanted: number, output = longOutput(window)): Promise<HeldRun> {
  const [mark, journal] = ['running.json', 'journal.jsonl'].map((name) => path.join(`${output}.run`, name)) as [string, string];
  const finished = (): number => (existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').length - 1 : 0);
  while (!existsSync(mark) || finished() < wanted) {
    assert.ok(!existsSync(output), 'the run ended before it could be held');
    await setTimeout(20);
  }
  const workers = window.workers();
  assert.equal(workers.length, 1, 'one worker');
  const [worker = 0] = workers;
  process.kill(worker, 'SIGSTOP');
  const release = (): void => {
    if (window.workers().includes(worker)) process.kill(worker, 'SIGCONT');
  };
  assert.ok(existsSync(mark), 'the run ended before it could be held');
  const host = parentOf(worker);
  const outliveHost = async (): Promise<void> => {
    while (parentOf(worker) === host) await setTimeout(20);
    release();
    while (window.workers().includes(worker)) await setTimeout(20);
  };
  return { worker, release, outliveHost, [Symbol.dispose]: release };
}

/** null: it is gone. */
function parentOf(pid: number): string | null {
  try {
    return /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
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
