// Marks a run folder while a run works in it: a second run is refused there, and a run whose process is gone is known as interrupted, and by whom it can be continued.
import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { isAtWork, processBegan } from '../../../schemas/src/run-process.js';
import { readRunningMark, RUNNING_FILE, type RunningMark } from '../../../schemas/src/unfinished-run.js';
import { writeFailure, writeSynced } from '../checkpoint/durable-file.js';
import type { RunContext } from '../run-context.js';

/** Throws where another process has a run there. The file is made only where there is none, so that of two that come at once one is refused. */
export async function markRunning({ given, runDir, runId, startedAt }: RunContext, n_units: number): Promise<void> {
  const began = await processBegan(process.pid);
  const mark: RunningMark = {
    run_id: runId,
    pid: process.pid,
    ...(began === null ? {} : { process_began: began }),
    started_at: startedAt.toISOString(),
    recipe: given.recipe.path,
    recipe_sha256: createHash('sha256').update(given.recipe.text).digest('hex'),
    n_units,
  };
  await writeMark(path.join(runDir, RUNNING_FILE), `${JSON.stringify(mark)}\n`);
}

/** Of several that find the mark of a run that is gone, only who has a mark beside it removes it, and looks again first: what is removed is never another's new one. */
async function writeMark(file: string, text: string): Promise<void> {
  while (!(await writeNew(file, text))) {
    if (!(await isLeft(file))) continue;
    const beside = `${file}.stale`;
    await writeMark(beside, text);
    try {
      if (await isLeft(file)) await rm(file);
    } finally {
      await rm(beside, { force: true });
    }
  }
}

/** Whether it is there and its process is gone; throws where its process is there. */
async function isLeft(file: string): Promise<boolean> {
  const mark = await settledMark(file);
  // A run of this very process is none that could collide: a worker has one at a time.
  if (mark && mark.pid !== process.pid && (await isAtWork(mark))) throw runFailure.outputInUse(path.dirname(file), mark);
  return mark !== undefined;
}

/** Whether it was written: false where the file is there. */
async function writeNew(file: string, text: string): Promise<boolean> {
  try {
    await writeSynced(file, 'wx', text);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw writeFailure(file, error, `${text.length} bytes`);
  }
}

/** undefined where the file is gone, null where it is none: whoever made the file a moment ago has had time to write it. */
async function settledMark(file: string): Promise<RunningMark | null | undefined> {
  const read = async (): Promise<RunningMark | null | undefined> => {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? undefined : ''));
    return text === undefined ? undefined : readRunningMark(text);
  };
  const mark = await read();
  if (mark !== null) return mark;
  await setTimeout(200);
  return read();
}

/** When the report says how the run ended. */
export const unmarkRunning = ({ runDir }: RunContext): Promise<void> => rm(path.join(runDir, RUNNING_FILE), { force: true });
