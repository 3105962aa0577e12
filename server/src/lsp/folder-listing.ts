// Lists a folder beside a recipe, for path completion.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FolderEntry } from '../features/completion-paths.js';

/** null for a recipe that is not saved, and for what is no folder. */
export async function listFolder(recipeUri: string, folder: string): Promise<FolderEntry[] | null> {
  if (!recipeUri.startsWith('file:')) return null;
  const dir = path.resolve(path.dirname(fileURLToPath(recipeUri)), folder);
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => null);
  return entries?.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() || entry.isSymbolicLink() })) ?? null;
}
