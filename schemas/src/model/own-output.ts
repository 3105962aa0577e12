// By what an output folder is known as written by Bitwright, so that a run may replace it.
import path from 'node:path';
import type { ModelFiles } from './model-files.js';

/** Begins recipe.yaml of every checkpoint. */
export const recipeMark = '# Written by Bitwright';

/** Of the names in a folder those that are not ours: all, or none where the folder is ours. */
export async function othersFilesIn(dir: string, names: readonly string[], files: ModelFiles): Promise<readonly string[]> {
  if (!names.includes('recipe.yaml')) return names;
  // One that cannot be read is not known to be ours.
  const head = await files.readRange(path.join(dir, 'recipe.yaml'), 0, recipeMark.length).catch(() => new Uint8Array());
  return new TextDecoder().decode(head) === recipeMark ? [] : names;
}
