// Marks a run folder while a run works in it, so that a run whose process is gone is known as interrupted, and by whom it can be continued.
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { RUNNING_FILE, type RunningMark } from '../../../schemas/src/unfinished-run.js';
import { writeTextDurably } from '../checkpoint/durable-file.js';
import type { RunContext } from '../run-context.js';

export async function markRunning({ given, runDir, runId, startedAt }: RunContext, n_units: number): Promise<void> {
  const mark: RunningMark = {
    run_id: runId,
    pid: process.pid,
    started_at: startedAt.toISOString(),
    recipe: given.recipe.path,
    recipe_sha256: createHash('sha256').update(given.recipe.text).digest('hex'),
    n_units,
  };
  await writeTextDurably(path.join(runDir, RUNNING_FILE), `${JSON.stringify(mark)}\n`);
}

/** When the report says how the run ended. */
export const unmarkRunning = ({ runDir }: RunContext): Promise<void> => rm(path.join(runDir, RUNNING_FILE), { force: true });
