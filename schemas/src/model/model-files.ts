// Reading files, handed in to the pure readers of this folder; and the one implementation on Node's file system.
import { open, readFile, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

/** `refused`: this account may not look. */
export type PathKind = 'file' | 'folder' | 'none' | 'refused';

export interface ModelFiles {
  /** Names of the entries of a folder; null when it is not a readable folder. */
  list(dir: string): Promise<string[] | null>;
  /** null when there is no such file. */
  size(file: string): Promise<number | null>;
  /** What stands at a path, for the words about one that cannot be read. */
  kindOf(path: string): Promise<PathKind>;
  /** Bytes [offset, offset + length), fewer at the end of the file. */
  readRange(file: string, offset: number, length: number): Promise<Uint8Array>;
  readText(file: string): Promise<string>;
}

export const nodeFiles: ModelFiles = {
  async list(dir) {
    try {
      return (await readdir(dir)).sort();
    } catch {
      return null; // missing, no folder, no permission: the caller says which folder it wanted and why
    }
  },
  async size(file) {
    try {
      const found = await stat(file);
      return found.isFile() ? found.size : null;
    } catch {
      return null; // as above
    }
  },
  async kindOf(name) {
    try {
      return (await stat(name)).isDirectory() ? 'folder' : 'file';
    } catch (error) {
      return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '') ? 'refused' : 'none';
    }
  },
  async readRange(file, offset, length) {
    const handle = await open(path.resolve(file), 'r');
    try {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await handle.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  },
  readText: (file) => readFile(file, 'utf8'),
};
