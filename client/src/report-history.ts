// Reports outlive the next run: before a recipe runs again into the same folder, the report that stands there is copied beside it, into <output.dir>.history/<time>.
import { copyFile, mkdir, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { RunReport } from '../../schemas/src/generated/report.js';

/** Copies the report of the last run with its arrays and its lock; blocks and journal are the run's own. Answers the new folder; null where there is no report. */
export async function keepLastReport(outputDir: string): Promise<string | null> {
  const from = `${outputDir}.run`;
  const report = await readReportFile(path.join(from, 'report.json'));
  if (report === null) return null;
  // A colon is no part of a file name on every system.
  const to = path.join(`${outputDir}.history`, report.finished_at.replaceAll(':', '-'));
  const arrays = (await namesIn(path.join(from, 'blocks'))).filter((name) => name.endsWith('.arrays.bin'));
  await mkdir(path.join(to, 'blocks'), { recursive: true });
  for (const name of arrays) await copyFile(path.join(from, 'blocks', name), path.join(to, 'blocks', name));
  if ((await namesIn(from)).includes('lock.json')) await copyFile(path.join(from, 'lock.json'), path.join(to, 'lock.json'));
  // Last: a folder with a report is whole.
  await copyFile(path.join(from, 'report.json'), path.join(to, 'report.json'));
  return to;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** null where there is none, or it is half written. */
export async function readReportFile(file: string): Promise<RunReport | null> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as RunReport;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
