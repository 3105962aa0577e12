// The recipe schema as an editor asks it: what may stand at a path, its keys, its values, and what the field means.
import path from 'node:path';
import type { RecipePath } from '../../../schemas/src/problem.js';

/** The keywords of JSON Schema that the recipe schema uses. */
export interface JsonSchema {
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  type?: string | readonly string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: readonly unknown[];
  const?: unknown;
  examples?: readonly unknown[];
  properties?: Record<string, JsonSchema>;
  patternProperties?: Record<string, JsonSchema>;
  additionalProperties?: boolean | JsonSchema;
  required?: readonly string[];
  items?: JsonSchema | boolean;
  prefixItems?: readonly JsonSchema[];
  anyOf?: readonly JsonSchema[];
  oneOf?: readonly JsonSchema[];
  allOf?: readonly JsonSchema[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}

/** Schema files by their path relative to the folder of the entry, and the entry. */
export interface SchemaFiles {
  entry: string;
  files: Readonly<Record<string, JsonSchema>>;
}

/** A schema and the file it stands in, against which its references are resolved. */
export interface PlacedSchema {
  schema: JsonSchema;
  file: string;
}

export interface KeyInfo {
  key: string;
  value: PlacedSchema[];
  required: boolean;
}

/** What may stand at `recipePath`; several where the schema gives alternatives. */
export function schemasAt(files: SchemaFiles, recipePath: RecipePath): PlacedSchema[] {
  const root = files.files[files.entry];
  if (root === undefined) throw new Error(`The schema ${files.entry} is not among the schema files.`);
  let current = alternatives(files, { schema: root, file: files.entry });
  for (const step of recipePath) current = current.flatMap((placed) => stepInto(files, placed, step));
  return current;
}

export function keysOf(files: SchemaFiles, schemas: readonly PlacedSchema[]): KeyInfo[] {
  const keys = new Map<string, KeyInfo>();
  for (const { schema, file } of schemas)
    for (const [key, value] of Object.entries(schema.properties ?? {})) {
      const known = keys.get(key);
      const more = alternatives(files, { schema: value, file });
      const required = schema.required?.includes(key) ?? false;
      if (known === undefined) keys.set(key, { key, value: more, required });
      else known.value.push(...more);
    }
  return [...keys.values()];
}

/** The patterns of keys that are free in part, such as `_stage$`. */
export function keyPatternsOf(schemas: readonly PlacedSchema[]): string[] {
  return schemas.flatMap(({ schema }) => Object.keys(schema.patternProperties ?? {}));
}

export interface NamedValue {
  value: unknown;
  description: string | undefined;
}

export function enumeratedValues(schemas: readonly PlacedSchema[]): NamedValue[] {
  const values = schemas.flatMap(({ schema }): NamedValue[] => {
    if (schema.enum !== undefined) return schema.enum.map((value) => ({ value, description: undefined }));
    if (schema.const !== undefined) return [{ value: schema.const, description: schema.description }];
    if (typesOf([{ schema, file: '' }]).includes('boolean')) return [true, false].map((value) => ({ value, description: undefined }));
    return (schema.examples ?? []).map((value) => ({ value, description: undefined }));
  });
  return values.filter(({ value }, index) => values.findIndex((other) => other.value === value) === index);
}

export function typesOf(schemas: readonly PlacedSchema[]): string[] {
  return [
    ...new Set(
      schemas.flatMap(({ schema }) => {
        if (schema.type !== undefined) return schema.type;
        const named = schema.enum ?? (schema.const === undefined ? [] : [schema.const]);
        return named.map((value) => (value === null ? 'null' : typeof value));
      }),
    ),
  ];
}

/** The first that is said; alternatives repeat what their parent says. */
export function firstSaid<Key extends 'description' | 'default' | 'title'>(
  schemas: readonly PlacedSchema[],
  key: Key,
): JsonSchema[Key] | undefined {
  return schemas.map(({ schema }) => schema[key]).find((value) => value !== undefined);
}

/** Follows references and opens anyOf, oneOf and allOf; what the parent says of meaning and default stays with each alternative. */
function alternatives(files: SchemaFiles, placed: PlacedSchema): PlacedSchema[] {
  const { schema, file } = placed;
  const said = { ...pick(schema, 'description'), ...pick(schema, 'default'), ...pick(schema, 'title') };
  if (schema.$ref !== undefined)
    return alternatives(files, resolveReference(files, schema.$ref, file)).map((target) => ({
      ...target,
      schema: { ...target.schema, ...said },
    }));
  const branches = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  if (branches.length === 0) return [placed];
  const own = schema.properties !== undefined || schema.patternProperties !== undefined || schema.type !== undefined ? [placed] : [];
  const opened = branches.flatMap((branch) => alternatives(files, { schema: branch, file }));
  return [...own, ...opened.map((target) => ({ ...target, schema: { ...said, ...target.schema } }))];
}

function pick<Key extends keyof JsonSchema>(schema: JsonSchema, key: Key): Partial<Pick<JsonSchema, Key>> {
  const found: Partial<Pick<JsonSchema, Key>> = {};
  if (schema[key] !== undefined) found[key] = schema[key];
  return found;
}

function resolveReference(files: SchemaFiles, reference: string, from: string): PlacedSchema {
  const [name = '', fragment = ''] = reference.split('#');
  const file = name === '' ? from : path.posix.join(path.posix.dirname(from), name);
  let target: unknown = files.files[file];
  for (const part of fragment.split('/').filter((step) => step !== ''))
    target = (target as Record<string, unknown> | undefined)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')];
  if (target === undefined) throw new Error(`The schema reference ${reference} in ${from} leads nowhere.`);
  return { schema: target as JsonSchema, file };
}

function stepInto(files: SchemaFiles, { schema, file }: PlacedSchema, step: string | number): PlacedSchema[] {
  const next = (child: JsonSchema): PlacedSchema[] => alternatives(files, { schema: child, file });
  if (typeof step === 'number') {
    const item = schema.prefixItems?.[step] ?? schema.items;
    return typeof item === 'object' ? next(item) : [];
  }
  const properties = schema.properties ?? {};
  const property = Object.hasOwn(properties, step) ? properties[step] : undefined;
  if (property !== undefined) return next(property);
  for (const [pattern, child] of Object.entries(schema.patternProperties ?? {}))
    if (new RegExp(pattern, 'u').test(step)) return next(child);
  return typeof schema.additionalProperties === 'object' ? next(schema.additionalProperties) : [];
}
