// Lists a folder beside a recipe, for path completion.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { FolderEntry } from '../features/completion-paths.js';
import { filePathOf } from './file-path.js';

/** null for a recipe that is not saved, and for what is no folder. */
export async function listFolder(recipeUri: string, folder: string): Promise<FolderEntry[] | null> {
  const recipePath = filePathOf(recipeUri);
  if (recipePath === null) return null;
  const dir = path.resolve(path.dirname(recipePath), folder);
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => null);
  return entries?.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() || entry.isSymbolicLink() })) ?? null;
}
