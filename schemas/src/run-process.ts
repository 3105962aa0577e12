// Whether the process of a run is at work: a number that the system has given to another process since, or a process that has ended and waits for its parent, is not it.
import { readFile } from 'node:fs/promises';
import type { RunningMark } from './unfinished-run.js';

export async function isAtWork({ pid, process_began }: Pick<RunningMark, 'pid' | 'process_began'>): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it belongs to someone else, and is there.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const began = await processBegan(pid);
  return began === null ? process_began === undefined : began === (process_began ?? began);
}

/** Clock ticks from the start of the system; null where the system does not say, or the process has ended and waits for its parent. */
export async function processBegan(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The name of the program stands in brackets and may hold anything; behind it come the state and, as the twentieth, the beginning (proc_pid_stat(5)).
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ') ?? [];
  return fields[0] === 'Z' ? null : (fields[19] ?? null);
}
