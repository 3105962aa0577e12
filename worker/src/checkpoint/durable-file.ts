// Files that are whole or absent: written under a partial name, flushed to the disk, then renamed; a full disk leaves nothing behind. And folders.
import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { RunFailureError, runFailure } from '../../../schemas/src/run-failure.js';

export interface WrittenFile {
  bytes: number;
  sha256: string;
}

/** Writes the chunks to `file`; `needed` says in words how much room the whole needs. */
export async function writeDurably(
  file: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  needed: string,
): Promise<WrittenFile> {
  const partial = `${file}.partial`;
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    const handle = await open(partial, 'w');
    try {
      for await (const chunk of chunks) {
        hash.update(chunk);
        await writeAll(handle, chunk);
        bytes += chunk.byteLength;
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, file);
    await syncDirectory(path.dirname(file));
  } catch (error) {
    await rm(partial, { force: true });
    throw writeFailure(file, error, needed);
  }
  return { bytes, sha256: hash.digest('hex') };
}

export function writeTextDurably(file: string, text: string): Promise<WrittenFile> {
  const bytes = new TextEncoder().encode(text);
  return writeDurably(file, [bytes], `${bytes.byteLength} bytes`);
}

/**
 * A folder with those above it; nothing when it is there. Node's own recursive mkdir never ends where a file system answers "no such file" for a
 * new folder in one that exists, as /proc does.
 */
export async function makeFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const parent = path.dirname(dir);
    if (code === 'EEXIST' && (await isFolder(dir))) return;
    if (code !== 'ENOENT' || parent === dir || (await isFolder(parent))) throw error;
    await makeFolder(parent);
    await makeFolder(dir);
  }
}

const isFolder = (dir: string): Promise<boolean> =>
  stat(dir).then(
    (found) => found.isDirectory(),
    () => false,
  );

type WritableHandle = Awaited<ReturnType<typeof open>>;

/** Writes behind what the file holds, or into a file that must not be there yet; it is on the disk when this resolves. */
export async function writeSynced(file: string, flag: 'a' | 'wx', text: string): Promise<void> {
  const handle = await open(file, flag);
  try {
    await writeAll(handle, new TextEncoder().encode(text));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await syncDirectory(path.dirname(file));
}

/** A write may take fewer bytes than it was given: on a nearly full disk it does. */
async function writeAll(handle: WritableHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
}

/** A rename or a new file is on the disk only when its folder is. */
export const syncDirectory = (dir: string): Promise<void> => syncFile(dir);

export async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const diskFullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** A failing write in the words of the run: a full disk has its own. Failures that are ours already pass through. */
export function writeFailure(file: string, error: unknown, needed: string): unknown {
  if (error instanceof RunFailureError || !(error instanceof Error)) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined) return error;
  return diskFullCodes.has(code) ? runFailure.diskFull(file, needed) : runFailure.fileUnwritable(file, error.message);
}
