// How much disk a run can use: what is free on the volume of its run folder, and what an unfinished run has left there, which goes on or is replaced.
import { readdir, stat, statfs } from 'node:fs/promises';
import path from 'node:path';

/** Folders of a run folder that the estimate of a run counts: finished shards, and the checkpoint that is put together. */
const counted = ['blocks', 'checkpoint'];

/** null where the system does not say. The run folder need not exist yet. */
export async function roomForRun(runDir: string): Promise<number | null> {
  const free = await freeBytes(runDir);
  if (free === null) return null;
  const held = await Promise.all(counted.map((name) => bytesIn(path.join(runDir, name))));
  return held.reduce((sum, bytes) => sum + bytes, free);
}

/** On the volume of the nearest folder above that exists. */
async function freeBytes(dir: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(dir);
    return bavail * bsize;
  } catch (error) {
    const parent = path.dirname(dir);
    return isOneOf(error, 'ENOENT', 'ENOTDIR') && parent !== dir ? freeBytes(parent) : null;
  }
}

async function bytesIn(dir: string): Promise<number> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    // What this account may not list, no run of it can use.
    if (isOneOf(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return [];
    throw error;
  });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(dir, entry.name));
  const sizes = await Promise.all(files.map((file) => sizeOf(file)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** A run that is active may take a file away between the listing and the look. */
async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if (isOneOf(error, 'ENOENT')) return 0;
    throw error;
  }
}

const isOneOf = (error: unknown, ...codes: string[]): boolean => codes.includes((error as NodeJS.ErrnoException).code ?? '');
