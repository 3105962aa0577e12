// Free space where a folder is, or will be made.
import { statfs } from 'node:fs/promises';
import path from 'node:path';

/** Of the nearest folder above that exists; null where the system does not say. */
export async function freeBytes(dir: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(dir);
    return bavail * bsize;
  } catch (error) {
    const parent = path.dirname(dir);
    const isMissing = ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
    return isMissing && parent !== dir ? freeBytes(parent) : null;
  }
}
