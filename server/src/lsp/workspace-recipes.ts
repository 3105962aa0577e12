// The recipes of a workspace: those open in the editor as it holds them, the others from disk.
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { TextDocument } from 'vscode-languageserver-textdocument';

export interface RecipeText {
  uri: string;
  text: string;
}

/** A workspace may be a whole disk: so many folders are looked into, and no more. */
const mostFolders = 2000;
const passedOver = /^(\.|node_modules$|__pycache__$)/;

export async function recipesOf(folders: readonly string[], open: readonly TextDocument[]): Promise<RecipeText[]> {
  const known = new Map(open.map((document) => [document.uri, document.getText()]));
  const files = await recipeFiles(folders);
  const texts = files.map(async (file): Promise<RecipeText | null> => {
    const uri = pathToFileURL(file).href;
    // Gone since it was listed, or not ours to read.
    const text = known.get(uri) ?? (await readFile(file, 'utf8').catch(() => null));
    return text === null ? null : { uri, text };
  });
  const found = (await Promise.all(texts)).filter((recipe) => recipe !== null);
  const listed = new Set(found.map(({ uri }) => uri));
  return [...found, ...open.filter(({ uri }) => !listed.has(uri)).map((document) => ({ uri: document.uri, text: document.getText() }))];
}

async function recipeFiles(folders: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  const pending = [...folders];
  for (let n_folders = 0; n_folders < mostFolders; n_folders += 1) {
    const folder = pending.shift();
    if (folder === undefined) break;
    // A folder that cannot be listed has no recipes for us.
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const full = path.join(folder, entry.name);
      if (entry.isDirectory() && !passedOver.test(entry.name)) pending.push(full);
      else if (entry.isFile() && /\.quant\.ya?ml$/.test(entry.name)) files.push(full);
    }
  }
  return files.sort();
}
