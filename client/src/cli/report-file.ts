// What a run or an analysis has left, by its folder: a HostError in words where there is none, or one of another version.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { RUNNING_FILE } from '../../../schemas/src/unfinished-run.js';
import { asReport, asSensitivity } from '../../../schemas/src/validate.js';
import { HostError } from './processes.js';

export async function readReport(dir: string): Promise<RunReport> {
  const file = path.join(dir, 'report.json');
  const ways = { make: 'A run writes its report into <output.dir>.run; name that folder, or output.dir.', again: 'Run the recipe again.' };
  if (!existsSync(file) && existsSync(path.join(dir, RUNNING_FILE)))
    throw new HostError(
      `The run in ${dir} has no report yet: it is at work, or was interrupted. bitwright quantize with its recipe goes on after its last finished block.`,
    );
  const checked = asReport(await readJson(file, ways));
  if ('error' in checked) throw new HostError(`${file} is not a report of this version: ${checked.error}.`);
  return checked.report;
}

export async function readAnalysis(dir: string): Promise<SensitivityAnalysis> {
  const file = path.join(dir, 'sensitivity.json');
  const again = 'Run bitwright analyze again.';
  const checked = asSensitivity(await readJson(file, { make: 'Run bitwright analyze with this recipe first.', again }));
  if ('error' in checked) throw new HostError(`${file} is not an analysis of this version: ${checked.error}. ${again}`);
  return checked.analysis;
}

/** `ways`: what to do where there is no file, and where it is damaged. */
async function readJson(file: string, ways: { make: string; again: string }): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new HostError(
      error.code === 'ENOENT' || error.code === 'ENOTDIR'
        ? `There is no ${file}. ${ways.make}`
        : `${file} cannot be read: ${error.message}.`,
    );
  });
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new HostError(`${file} is not JSON. ${ways.again}`);
  }
}

/** A checkpoint has its run folder beside it. */
export function runFolder(operand: string): string {
  const dir = path.resolve(path.basename(operand) === 'report.json' ? path.dirname(operand) : operand);
  const holdsRun = (folder: string): boolean => ['report.json', RUNNING_FILE].some((name) => existsSync(path.join(folder, name)));
  return holdsRun(dir) || !holdsRun(`${dir}.run`) ? dir : `${dir}.run`;
}
