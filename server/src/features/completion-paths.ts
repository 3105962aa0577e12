// Files and folders beside the recipe, for the fields that name one.
import type { RecipePath } from '../../../schemas/src/problem.js';
import { literal, type CompletionEntry } from './completion-entry.js';
import type { RecipeCursor } from './recipe-cursor.js';
import { firstSaid, type PlacedSchema } from './schema-lookup.js';

export interface FolderEntry {
  name: string;
  isFolder: boolean;
}

type PathKind = 'folder' | 'dataset' | 'imatrix';

function pathKind(path: RecipePath): PathKind | null {
  const key = path.join('.');
  if (key === 'model' || key === 'output.dir') return 'folder';
  if (/GGUFModifier\.imatrix$/.test(key)) return 'imatrix';
  return key === 'calibration.dataset' || /^evaluate\.\w+\.(fewshot_)?dataset$/.test(key) ? 'dataset' : null;
}

export const wantsPath = (path: RecipePath): boolean => pathKind(path) !== null;

const endings = { folder: null, dataset: /\.(jsonl|txt|csv)$/, imatrix: /\.(gguf|dat|imatrix)$/ };

export async function completePaths(
  { path, before }: RecipeCursor,
  schemas: readonly PlacedSchema[],
  listFolder: (folder: string) => Promise<FolderEntry[] | null>,
): Promise<CompletionEntry[]> {
  const kind = pathKind(path) ?? 'folder';
  const ending = endings[kind];
  const typed = before.slice(0, before.lastIndexOf('/') + 1);
  const entries = (await listFolder(typed)) ?? [];
  const fitting = entries.filter((entry) => !entry.name.startsWith('.') && (entry.isFolder || ending?.test(entry.name) === true));
  return fitting.map(({ name, isFolder }) => ({
    label: `${typed}${name}`,
    kind: isFolder ? 'folder' : 'file',
    documentation: firstSaid(schemas, 'description') ?? '',
    snippet: literal(`${typed}${name}`) + (isFolder && ending !== null ? '/' : ''),
    askAgain: isFolder && ending !== null,
  }));
}
