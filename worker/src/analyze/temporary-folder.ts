// What an analysis keeps on disk only while it works: hidden states and squared gradients, in one folder that no end of it leaves behind.
import { rm } from 'node:fs/promises';
import path from 'node:path';

/** `dir`: of the analysis. What one that was killed has left is removed first. */
export async function inTemporaryFolder<T>(dir: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = path.join(dir, 'temporary');
  await rm(folder, { recursive: true, force: true });
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
