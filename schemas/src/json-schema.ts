// Validates values by JSON Schema: the keywords that the schemas of this folder use, and no other. A library that writes code for them makes half a megabyte of it
// in each process; this walks the schema and answers what ajv answers, which test/schemas/json-schema.test.ts compares.

/** What a schema refuses, in ajv's words. */
export interface SchemaFinding {
  /** Keys and indices from the root. */
  path: (string | number)[];
  keyword: string;
  params: Record<string, unknown>;
  message: string;
}

type Schema = Record<string, unknown>;
/** `at` is where the walk stands; a finding takes a copy of it. */
type Check = (value: unknown, at: (string | number)[], found: SchemaFinding[]) => void;

const telling = ['$id', '$schema', '$defs', 'title', 'description', 'default', 'examples', 'x-bitwright'];
const generalKeywords = ['$ref', 'const', 'enum', 'anyOf'];
/** Keywords that say something of one type alone, in the order in which their findings come. */
const keywordsOfType: Record<string, readonly string[]> = {
  number: ['maximum', 'minimum'],
  string: ['pattern'],
  array: ['maxItems', 'minItems', 'items'],
  object: ['required', 'additionalProperties', 'properties', 'patternProperties'],
};
const known = new Set(['type', ...telling, ...generalKeywords, ...Object.values(keywordsOfType).flat()]);

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const isOfType: Record<string, (value: unknown) => boolean> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  number: Number.isFinite,
  integer: Number.isInteger,
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
};

/** Answers the validator of `entry`, one of `files` by their `$id`. Schemas are read at the first use of each part. */
export function schemaValidator(files: Readonly<Record<string, object>>, entry: string): (value: unknown) => SchemaFinding[] {
  const made = new Map<string, Check>();
  const referred = (reference: string, from: string): Check => {
    const { pathname, hash } = new URL(reference, `schema:/${from}`);
    const file = pathname.slice(1);
    let check = made.get(file + hash);
    if (check === undefined) {
      let target: unknown = files[file];
      for (const part of hash.split('/').slice(1)) target = (target as Schema | undefined)?.[decodeURIComponent(part)];
      if (target === undefined) throw new Error(`The schema ${from} refers to ${reference}, which does not exist.`);
      check = checkOf(target as Schema | boolean, { file, referred });
      made.set(file + hash, check);
    }
    return check;
  };
  return (value) => {
    const found: SchemaFinding[] = [];
    referred('', entry)(value, [], found);
    return found;
  };
}

interface Context {
  file: string;
  referred: (reference: string, from: string) => Check;
}

function checkOf(schema: Schema | boolean, context: Context): Check {
  if (schema === true) return () => undefined;
  if (schema === false)
    throw new Error(`A schema that refuses everything stands in ${context.file}; only additionalProperties may be false.`);
  const unknown = Object.keys(schema).filter((keyword) => !known.has(keyword));
  if (unknown.length > 0) throw new Error(`${context.file} uses ${unknown.join(', ')}, which schemas/src/json-schema.ts does not know.`);
  const checks: Check[] = [];
  const add = (keyword: string): void => {
    if (Object.hasOwn(schema, keyword)) checks.push(keywordChecks[keyword]!(schema[keyword], schema, context));
  };
  add('type');
  generalKeywords.forEach(add);
  for (const [type, keywords] of Object.entries(keywordsOfType)) {
    if (!keywords.some((keyword) => Object.hasOwn(schema, keyword))) continue;
    const begin = checks.length;
    keywords.forEach(add);
    const ofType = checks.splice(begin);
    checks.push((value, at, found) => {
      if (isOfType[type]!(value)) for (const check of ofType) check(value, at, found);
    });
  }
  return (value, at, found) => {
    for (const check of checks) check(value, at, found);
  };
}

const tell = (at: readonly (string | number)[], keyword: string, params: Record<string, unknown>, message: string): SchemaFinding => ({
  path: [...at],
  keyword,
  params,
  message,
});

/** A keyword that asks one question of a value, whose answer is no other finding. */
const simple =
  (keyword: string, isRight: (value: never) => boolean, params: Record<string, unknown>, message: string): Check =>
  (value, at, found) => {
    if (!isRight(value as never)) found.push(tell(at, keyword, params, message));
  };

function inside(check: Check, step: string | number, value: unknown, at: (string | number)[], found: SchemaFinding[]): void {
  at.push(step);
  check(value, at, found);
  at.pop();
}

const subschema = (schema: unknown, context: Context): Check => checkOf(schema as Schema | boolean, context);
const subschemas = (schemas: unknown, context: Context): [string, Check][] =>
  Object.entries(schemas as Record<string, unknown>).map(([name, schema]) => [name, subschema(schema, context)]);
const patternsOf = (schema: Schema): RegExp[] =>
  Object.keys((schema['patternProperties'] ?? {}) as object).map((each) => new RegExp(each, 'u'));

const keywordChecks: Record<string, (argument: unknown, schema: Schema, context: Context) => Check> = {
  type: (type) => {
    const types = ([] as unknown[]).concat(type).map((name) => isOfType[name as string]!);
    return simple('type', (value) => types.some((isOne) => isOne(value)), { type }, `must be ${String(type)}`);
  },
  $ref: (reference, _, { file, referred }) => {
    // Read when it is asked: definitions refer to themselves.
    let check: Check | undefined;
    return (value, at, found) => (check ??= referred(reference as string, file))(value, at, found);
  },
  const: (allowedValue) => simple('const', (value) => value === allowedValue, { allowedValue }, 'must be equal to constant'),
  enum: (allowedValues) => {
    const allowed = new Set(allowedValues as unknown[]);
    return simple('enum', (value) => allowed.has(value), { allowedValues }, 'must be equal to one of the allowed values');
  },
  anyOf: (alternatives, _, context) => {
    const checks = (alternatives as unknown[]).map((alternative) => subschema(alternative, context));
    return (value, at, found) => {
      const before = found.length;
      for (const check of checks) {
        const begin = found.length;
        check(value, at, found);
        if (found.length === begin) {
          found.length = before;
          return;
        }
      }
      found.push(tell(at, 'anyOf', {}, 'must match a schema in anyOf'));
    };
  },
  maximum: (limit) =>
    simple('maximum', (value: number) => value <= (limit as number), { comparison: '<=', limit }, `must be <= ${String(limit)}`),
  minimum: (limit) =>
    simple('minimum', (value: number) => value >= (limit as number), { comparison: '>=', limit }, `must be >= ${String(limit)}`),
  pattern: (pattern) => {
    const expression = new RegExp(pattern as string, 'u');
    return simple('pattern', (value: string) => expression.test(value), { pattern }, `must match pattern "${String(pattern)}"`);
  },
  maxItems: (limit) =>
    simple(
      'maxItems',
      (value: unknown[]) => value.length <= (limit as number),
      { limit },
      `must NOT have more than ${String(limit)} items`,
    ),
  minItems: (limit) =>
    simple(
      'minItems',
      (value: unknown[]) => value.length >= (limit as number),
      { limit },
      `must NOT have fewer than ${String(limit)} items`,
    ),
  items: (schema, _, context) => {
    const check = subschema(schema, context);
    return (value, at, found) => (value as unknown[]).forEach((item, index) => inside(check, index, item, at, found));
  },
  required: (names) => (value, at, found) => {
    for (const name of names as string[])
      if ((value as Schema)[name] === undefined)
        found.push(tell(at, 'required', { missingProperty: name }, `must have required property '${name}'`));
  },
  additionalProperties: (additional, schema, context) => {
    const names = new Set(Object.keys((schema['properties'] ?? {}) as object));
    const patterns = patternsOf(schema);
    const check = additional === false ? null : subschema(additional, context);
    return (value, at, found) => {
      for (const [key, item] of Object.entries(value as Schema)) {
        if (names.has(key) || patterns.some((pattern) => pattern.test(key))) continue;
        if (check !== null) inside(check, key, item, at, found);
        else found.push(tell(at, 'additionalProperties', { additionalProperty: key }, 'must NOT have additional properties'));
      }
    };
  },
  properties: (properties, _, context) => {
    const checks = subschemas(properties, context);
    return (value, at, found) => {
      for (const [name, check] of checks) {
        const item = (value as Schema)[name];
        if (item !== undefined) inside(check, name, item, at, found);
      }
    };
  },
  patternProperties: (properties, schema, context) => {
    const patterns = patternsOf(schema);
    const checks = subschemas(properties, context).map(([, check], index) => ({ check, pattern: patterns[index]! }));
    return (value, at, found) => {
      for (const { pattern, check } of checks)
        for (const [key, item] of Object.entries(value as Schema)) if (pattern.test(key)) inside(check, key, item, at, found);
    };
  },
};
