// A run as its folder tells it, for a page that has outlived the window in which it began: finished, interrupted, or at work in another process.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { freshRun, withFinished, type LiveRun, type RunOutline } from '../../schemas/src/live-run.js';
import type { CanaryFigure, LayerMetrics, RunProblem } from '../../schemas/src/generated/report.js';
import { RUNNING_FILE } from '../../schemas/src/unfinished-run.js';
import { readReportFile } from './report-history.js';
import { readUnfinishedRun, type UnfinishedRun } from './unfinished-runs.js';

export interface RunOnDisk {
  run: LiveRun;
  /** While it has no end. */
  unfinished: UnfinishedRun | null;
  /** File of its recipe; null: it was not saved, or nothing says it. */
  recipe: string | null;
}

export async function readRunOnDisk(outline: RunOutline): Promise<RunOnDisk> {
  const dir = `${outline.output}.run`;
  const run = freshRun(outline);
  const unfinished = await readUnfinishedRun(path.join(dir, RUNNING_FILE));
  if (unfinished !== null) {
    const { layers, problems } = await readJournal(path.join(dir, 'journal.jsonl'));
    const { n_finished, n_units, isRunning, recipe } = unfinished;
    const outcome = isRunning ? 'elsewhere' : 'interrupted';
    const measured = await readCanary(path.join(dir, 'canary.json'));
    const known = withCanary(withFinished(run, layers), measured);
    return { run: { ...known, outcome, problems, fraction: n_finished / Math.max(1, n_units) }, unfinished, recipe };
  }
  const report = await readReportFile(path.join(dir, 'report.json'));
  if (report === null) return { run: { ...run, outcome: 'gone' }, unfinished: null, recipe: null };
  const { outcome, layers, problems, device } = report;
  const whole = withCanary(withFinished(run, layers), report.canary?.figures ?? []);
  const fraction = outcome === 'completed' ? 1 : layers.length / Math.max(1, whole.layers.length);
  return {
    run: { ...whole, outcome, problems, fraction, device: `${device.name} (${device.kind})` },
    unfinished: null,
    recipe: report.recipe.path,
  };
}

/** Of every part that is finished; a line that was cut short is none. */
async function readJournal(file: string): Promise<{ layers: LayerMetrics[]; problems: RunProblem[] }> {
  const lines = (await textOf(file)).split('\n').slice(0, -1);
  const units = lines.map((line) => JSON.parse(line) as { layers: LayerMetrics[]; problems: RunProblem[] });
  return { layers: units.flatMap(({ layers }) => layers), problems: units.flatMap(({ problems }) => problems) };
}

async function readCanary(file: string): Promise<CanaryFigure[]> {
  const text = await textOf(file);
  return text === '' ? [] : (JSON.parse(text) as { figures: CanaryFigure[] }).figures;
}

const withCanary = (run: LiveRun, figures: CanaryFigure[]): LiveRun => ({ ...run, canary: run.canary && { ...run.canary, figures } });

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
