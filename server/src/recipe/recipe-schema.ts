// The schema of recipes: what it finds wrong in a value, and which keys it allows at a path.
import { schemaValidator } from '../../../schemas/src/json-schema.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { recipeSchemaFiles } from '../../../schemas/src/recipe-schema-files.js';

export const findingsOfRecipe = schemaValidator(recipeSchemaFiles.files, recipeSchemaFiles.entry);

type Schema = Record<string, unknown>;

/** Keys that the schema allows at a path, bookkeeping left out. */
export function knownKeys(path: RecipePath): string[] {
  let here: { schema: Schema; file: string }[] = resolve({
    schema: recipeSchemaFiles.files[recipeSchemaFiles.entry] as Schema,
    file: recipeSchemaFiles.entry,
  });
  for (const step of path)
    here = here.flatMap(({ schema, file }) => {
      const properties = (schema['properties'] ?? {}) as Record<string, Schema>;
      const patterns = Object.entries((schema['patternProperties'] ?? {}) as Record<string, Schema>);
      const next =
        typeof step === 'number'
          ? schema['items']
          : ((Object.hasOwn(properties, step) ? properties[step] : undefined) ??
            patterns.find(([pattern]) => new RegExp(pattern).test(step))?.[1] ??
            schema['additionalProperties']);
      return typeof next === 'object' && next !== null ? resolve({ schema: next as Schema, file }) : [];
    });
  return here
    .flatMap(({ schema }) => Object.keys((schema['properties'] ?? {}) as object))
    .filter((key) => !key.endsWith('_') && !['index', 'start', 'end', 'update'].includes(key));
}

/** Keys right behind a modifier in its group that are fields of it. */
export function fieldsBeside(path: RecipePath, group: unknown): string[] {
  const keys = Object.keys((group ?? {}) as object);
  const known = knownKeys(path);
  const behind = keys.slice(keys.indexOf(String(path.at(-1))) + 1);
  const end = behind.findIndex((key) => !known.includes(key));
  return end < 0 ? behind : behind.slice(0, end);
}

function resolve(place: { schema: Schema; file: string }): { schema: Schema; file: string }[] {
  const reference = place.schema['$ref'];
  if (typeof reference === 'string') {
    const [name = '', fragment = ''] = reference.split('#');
    const file = name === '' ? place.file : joinPath(place.file, name);
    let target = recipeSchemaFiles.files[file] as unknown;
    for (const part of fragment.split('/').filter(Boolean)) target = (target as Record<string, unknown>)[part];
    return resolve({ schema: target as Schema, file });
  }
  const branches = place.schema['anyOf'] as Schema[] | undefined;
  return branches === undefined ? [place] : branches.flatMap((schema) => resolve({ schema, file: place.file }));
}

function joinPath(from: string, to: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of to.split('/'))
    if (part === '..') parts.pop();
    else parts.push(part);
  return parts.join('/');
}
