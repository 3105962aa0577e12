// Completion: the keys, values, presets, layer patterns and paths that may stand at the cursor, also in a half-written recipe.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { recipeSchemaFiles } from '../../../schemas/src/validate.js';
import { parseValue } from '../recipe/parse-recipe.js';
import type { CompletionEntry } from './completion-entry.js';
import { completeKeys } from './completion-keys.js';
import { completePaths, wantsPath, type FolderEntry } from './completion-paths.js';
import { completeTargets, wantsTarget } from './completion-targets.js';
import { completeValues } from './completion-values.js';
import { findCursors, type RecipeCursor } from './recipe-cursor.js';
import { schemasAt, typesOf, type PlacedSchema, type SchemaFiles } from './schema-lookup.js';

export interface Completion {
  entries: CompletionEntry[];
  /** Offsets of the text that an entry replaces. */
  begin: number;
  end: number;
}

export interface CompletionInput {
  text: string;
  offset: number;
  model: ModelDescription | null;
  /** Entries of a folder, relative to the recipe; null where there is none. */
  listFolder(folder: string): Promise<FolderEntry[] | null>;
}

const schema = recipeSchemaFiles as SchemaFiles;

export async function completeRecipe(input: CompletionInput): Promise<Completion> {
  for (const cursor of findCursors(input.text, input.offset, parseValue)) {
    const schemas = schemasAt(schema, cursor.path);
    const entries = cursor.kind === 'key' ? keyEntries(cursor, schemas, input) : await valueEntries(cursor, schemas, input);
    if (entries.length === 0) continue;
    return { entries, begin: input.offset - cursor.before.length, end: input.offset + cursor.after.length };
  }
  return { entries: [], begin: input.offset, end: input.offset };
}

function keyEntries(cursor: RecipeCursor, schemas: readonly PlacedSchema[], { text, offset }: CompletionInput): CompletionEntry[] {
  const behind = /^.*/.exec(text.slice(offset + cursor.after.length))?.[0] ?? '';
  const hasColon = /^["']?\s*:/.test(behind);
  return completeKeys(schema, schemas, cursor).map((entry) => (hasColon ? { ...entry, snippet: entry.label } : entry));
}

async function valueEntries(cursor: RecipeCursor, schemas: readonly PlacedSchema[], input: CompletionInput): Promise<CompletionEntry[]> {
  const types = typesOf(schemas);
  const entries = wantsTarget(cursor.path)
    ? completeTargets(cursor, input.model)
    : wantsPath(cursor.path)
      ? await completePaths(cursor, schemas, input.listFolder)
      : completeValues(cursor, schemas);
  if (typeof cursor.path.at(-1) === 'number' || !types.includes('array')) return cursor.ownLine ? [] : entries;
  if (cursor.ownLine) return entries.map((entry) => ({ ...entry, snippet: `- ${entry.snippet}` }));
  // A lone string is an error where only a list is allowed.
  return types.includes('string') ? entries : entries.map((entry) => ({ ...entry, snippet: `[${entry.snippet}$0]` }));
}
