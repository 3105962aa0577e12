// Completion: the keys, values, presets, layer patterns and paths that may stand at the cursor, also in a half-written recipe.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { recipeSchemaFiles } from '../../../schemas/src/recipe-schema-files.js';
import { parseValue, withLineBreaks } from '../recipe/parse-recipe.js';
import type { CompletionEntry } from './completion-entry.js';
import { completeColumns, wantsColumn, type RecipeDatasets } from './completion-columns.js';
import { completeKeys } from './completion-keys.js';
import { completePaths, wantsPath, type FolderEntry } from './completion-paths.js';
import { completeTargets, wantsTarget, type TargetEntries } from './completion-targets.js';
import { completeValues } from './completion-values.js';
import { findCursors, type RecipeCursor } from './recipe-cursor.js';
import { surroundingsOf } from './recipe-surroundings.js';
import { schemasAt, typesOf, type PlacedSchema, type SchemaFiles } from './schema-lookup.js';

export interface Completion {
  entries: CompletionEntry[];
  /** Offsets of the text that an entry replaces. */
  begin: number;
  end: number;
  /** There are more than these: ask again when more is typed. */
  isIncomplete: boolean;
}

export interface CompletionInput {
  text: string;
  offset: number;
  model: ModelDescription | null;
  datasets: RecipeDatasets;
  /** Entries of a folder, relative to the recipe; null where there is none. */
  listFolder(folder: string): Promise<FolderEntry[] | null>;
}

const schema = recipeSchemaFiles as SchemaFiles;

export async function completeRecipe(asked: CompletionInput): Promise<Completion> {
  const input = { ...asked, text: withLineBreaks(asked.text) };
  const { text, offset } = surroundingsOf(input.text, input.offset) ?? input;
  for (const cursor of findCursors(text, offset, parseValue)) {
    const schemas = schemasAt(schema, cursor.path);
    const { entries, isIncomplete } =
      cursor.kind === 'key'
        ? { entries: keyEntries(cursor, schemas, input), isIncomplete: false }
        : await valueEntries(cursor, schemas, input);
    if (entries.length === 0) continue;
    return { entries, isIncomplete, begin: input.offset - cursor.before.length, end: input.offset + cursor.after.length };
  }
  return { entries: [], isIncomplete: false, begin: input.offset, end: input.offset };
}

function keyEntries(cursor: RecipeCursor, schemas: readonly PlacedSchema[], { text, offset }: CompletionInput): CompletionEntry[] {
  const behind = /^.*/.exec(text.slice(offset + cursor.after.length))?.[0] ?? '';
  const hasColon = /^["']?\s*:/.test(behind);
  return completeKeys(schema, schemas, cursor).map((entry) => (hasColon ? { ...entry, snippet: entry.label } : entry));
}

async function valueEntries(cursor: RecipeCursor, schemas: readonly PlacedSchema[], input: CompletionInput): Promise<TargetEntries> {
  if (wantsTarget(cursor.path)) {
    const { entries, isIncomplete } = completeTargets(cursor, input.model);
    return { entries: asListItems(entries, cursor, schemas), isIncomplete };
  }
  const entries = wantsPath(cursor.path)
    ? await completePaths(cursor, schemas, input.listFolder)
    : wantsColumn(cursor.path)
      ? completeColumns(cursor, input.datasets)
      : completeValues(cursor, schemas);
  return { entries: asListItems(entries, cursor, schemas), isIncomplete: false };
}

/** What stands where a list is wanted becomes an item of one; what stands alone on its line has no key there. */
function asListItems(entries: CompletionEntry[], cursor: RecipeCursor, schemas: readonly PlacedSchema[]): CompletionEntry[] {
  const types = typesOf(schemas);
  if (typeof cursor.path.at(-1) === 'number' || !types.includes('array')) return cursor.ownLine ? [] : entries;
  if (cursor.ownLine) return entries.map((entry) => ({ ...entry, snippet: `- ${entry.snippet}` }));
  // A lone string is an error where only a list is allowed.
  return types.includes('string') ? entries : entries.map((entry) => ({ ...entry, snippet: `[${entry.snippet}$0]` }));
}
