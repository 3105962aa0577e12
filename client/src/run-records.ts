// Runs on disk: the report beside each checkpoint and the reports of earlier runs into the same folder, as a list with the newest first.
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { RunReport } from '../../schemas/src/generated/report.js';

/** What a list of runs says of one. */
export interface RunRecord {
  /** The folder of its report. */
  dir: string;
  run_id: string;
  /** `<output.dir>` without its path. */
  name: string;
  outcome: RunReport['outcome'];
  /** ISO 8601. */
  finished_at: string;
  seconds: number;
  recipe: string | null;
  bits_per_weight: number;
  weights_bytes_before: number;
  weights_bytes_after: number;
  perplexity_before: number | null;
  perplexity_after: number | null;
  /** Another run into the same folder came after it. */
  isEarlier: boolean;
}

/** Where reports stand: `<output.dir>.run` holds the last one, `<output.dir>.history/<time>` those before it. */
export const REPORT_GLOB = '**/{*.run,*.history/*}/report.json';

/** Where runs that are done again stand, for as long as they take. */
export const NOT_REPORTS = '**/{node_modules,*.verify-*}/**';

export type ReadRun = { run: RunRecord } | { dir: string; fault: string };

export async function readRun(file: string): Promise<ReadRun> {
  const dir = path.dirname(file);
  try {
    const report = JSON.parse(await readFile(file, 'utf8')) as Partial<RunReport> | null;
    return runOf(dir, report) ?? { dir, fault: `${file} is no report of a run. Delete it, or run the recipe again.` };
  } catch (error) {
    return {
      dir,
      fault: `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}. Delete it, or run the recipe again.`,
    };
  }
}

/** Reports of large models have tens of megabytes. */
const readAtOnce = 8;

/** Reads reports, each again only where its file is another than the last time; a list of runs asks for all of them whenever one changes. */
export function keptRuns(read = readRun): (files: readonly string[]) => Promise<ReadRun[]> {
  let kept = new Map<string, { mark: string; found: ReadRun }>();
  return async (files) => {
    const next: typeof kept = new Map();
    const found: ReadRun[] = [];
    const look = async (file: string): Promise<ReadRun> => {
      const { size, mtimeMs, ino } = (await stat(file).catch(() => null)) ?? {};
      const mark = `${size} ${mtimeMs} ${ino}`;
      const known = kept.get(file);
      const one = known?.mark === mark ? known.found : await read(file);
      // What could not be read may be readable the next time.
      if ('run' in one) next.set(file, { mark, found: one });
      return one;
    };
    for (let first = 0; first < files.length; first += readAtOnce)
      found.push(...(await Promise.all(files.slice(first, first + readAtOnce).map(look))));
    kept = next;
    return found;
  };
}

/** null where the file is another one. */
function runOf(dir: string, report: Partial<RunReport> | null): ReadRun | null {
  const { run_id, outcome, finished_at, seconds, size, recipe, quality } = report ?? {};
  if (typeof run_id !== 'string' || typeof finished_at !== 'string' || outcome === undefined || size === undefined) return null;
  const isEarlier = /\.history$/.test(path.dirname(dir));
  return {
    run: {
      dir,
      run_id,
      name: path.basename(isEarlier ? path.dirname(dir) : dir).replace(/\.(run|history)$/, ''),
      outcome,
      finished_at,
      seconds: seconds ?? 0,
      recipe: recipe?.path ?? null,
      bits_per_weight: size.bits_per_weight,
      weights_bytes_before: size.weights_bytes_before,
      weights_bytes_after: size.weights_bytes_after,
      perplexity_before: quality?.before?.perplexity ?? null,
      perplexity_after: quality?.after?.perplexity ?? null,
      isEarlier,
    },
  };
}

/** Newest first. A report that was copied before its run began again counts once. */
export function sortedRuns(runs: readonly RunRecord[]): RunRecord[] {
  const last = new Set(runs.filter(({ isEarlier }) => !isEarlier).map(({ run_id }) => run_id));
  return runs
    .filter(({ isEarlier, run_id }) => !isEarlier || !last.has(run_id))
    .sort((a, b) => (a.finished_at < b.finished_at ? 1 : a.finished_at > b.finished_at ? -1 : a.dir < b.dir ? -1 : 1));
}
