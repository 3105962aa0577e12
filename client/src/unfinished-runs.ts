// Runs that have no end yet: those at work, here or in another process, and those whose process was killed with its window or by the system. The journal of the latter is on the disk, so they can be continued.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isAtWork } from '../../schemas/src/run-process.js';
import { readRunningMark, RUNNING_FILE } from '../../schemas/src/unfinished-run.js';

export const UNFINISHED_GLOB = `**/*.run/${RUNNING_FILE}`;

export interface UnfinishedRun {
  /** The run folder. */
  dir: string;
  run_id: string;
  /** `<output.dir>` without its path. */
  name: string;
  started_at: string;
  /** null: from a recipe that was not saved. */
  recipe: string | null;
  recipe_sha256: string;
  n_units: number;
  n_finished: number;
  /** Its process is there; else it was interrupted. */
  isRunning: boolean;
}

/** null where the run has ended meanwhile, or the mark is none. */
export async function readUnfinishedRun(file: string): Promise<UnfinishedRun | null> {
  const dir = path.dirname(file);
  const mark = readRunningMark((await textOf(file)) ?? '');
  if (mark === null) return null;
  const { pid: _pid, ...facts } = mark;
  const lines = ((await textOf(path.join(dir, 'journal.jsonl'))) ?? '').split('\n').length - 1;
  return { dir, name: path.basename(dir).replace(/\.run$/, ''), ...facts, n_finished: lines, isRunning: await isAtWork(mark) };
}

/** As often as a process is asked for that nobody here has started: nothing on the disk tells of its end when it is killed. */
const lookDelay = 1000;

/** The run when its process is gone; null when it has ended in order, or another run has its folder. */
export async function interruptedRun(run: UnfinishedRun): Promise<UnfinishedRun | null> {
  const file = path.join(run.dir, RUNNING_FILE);
  for (let { isRunning } = run; isRunning;) {
    // Nobody stays alive to look.
    await setTimeout(lookDelay, undefined, { ref: false });
    const mark = readRunningMark((await textOf(file)) ?? '');
    if (mark?.run_id !== run.run_id) return null;
    isRunning = await isAtWork(mark);
  }
  // Its journal has grown since, and is read but once.
  const now = run.isRunning ? await readUnfinishedRun(file) : run;
  return now?.run_id === run.run_id ? now : null;
}

/** Whether the run would go on where it was, or begin anew because the recipe says something else now. */
export const isSameRecipe = ({ recipe_sha256 }: UnfinishedRun, text: string): boolean =>
  createHash('sha256').update(text).digest('hex') === recipe_sha256;

async function textOf(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
