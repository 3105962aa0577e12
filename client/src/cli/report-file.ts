// The report of a run, by its folder.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { asReport } from '../../../schemas/src/validate.js';
import { HostError } from './processes.js';

/** A HostError in words where there is none. */
export async function readReport(dir: string): Promise<RunReport> {
  const file = path.join(dir, 'report.json');
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new HostError(
      error.code === 'ENOENT' || error.code === 'ENOTDIR'
        ? `There is no ${file}. A run writes its report into <output.dir>.run; name that folder, or output.dir.`
        : `${file} cannot be read: ${error.message}.`,
    );
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new HostError(`${file} is not JSON. Run the recipe again.`);
  }
  const checked = asReport(value);
  if ('error' in checked) throw new HostError(`${file} is not a report of this version: ${checked.error}.`);
  return checked.report;
}

/** A checkpoint has its run folder beside it. */
export function runFolder(operand: string): string {
  const dir = path.resolve(path.basename(operand) === 'report.json' ? path.dirname(operand) : operand);
  return existsSync(path.join(dir, 'report.json')) || !existsSync(path.join(`${dir}.run`, 'report.json')) ? dir : `${dir}.run`;
}
