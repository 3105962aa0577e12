// Journals: a line of JSON for each thing that is finished, which counts when it is on the disk.
import { readFile } from 'node:fs/promises';
import { writeFailure, writeSynced, writeTextDurably } from './durable-file.js';

const textOf = (entry: unknown): string => `${JSON.stringify(entry)}\n`;

export async function appendToJournal(file: string, entry: unknown): Promise<void> {
  try {
    await writeSynced(file, 'a', textOf(entry));
  } catch (error) {
    throw writeFailure(file, error, 'one more line');
  }
}

export async function rewriteJournal(file: string, entries: readonly unknown[]): Promise<void> {
  await writeTextDurably(file, entries.map(textOf).join(''));
}

/** None where there is no file. A line that a kill cut short ends the journal: what follows was never finished. */
export async function readJournal<Entry>(file: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  try {
    for (const line of (await readFile(file, 'utf8')).split('\n').slice(0, -1)) entries.push(JSON.parse(line) as Entry);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && !(error instanceof SyntaxError)) throw error;
  }
  return entries;
}
