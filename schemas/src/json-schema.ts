// Validates values by JSON Schema; the only importer of ajv. A schema is compiled at its first use: the code that ajv writes for all of them
// was more than half of all bundles when it was written at build time. What a reference to another file leads to is compiled when a value comes there.
// Not the whole of ajv, but the keywords that our schemas have; in strict mode another one is an error at the first use of its schema.
import Ajv from 'ajv/dist/core';
import type {
  AnySchemaObject,
  ErrorObject,
  FuncKeywordDefinition,
  KeywordDefinition,
  Options,
  SchemaObjCxt,
  ValidateFunction,
} from 'ajv/dist/core';
import additionalProperties from 'ajv/dist/vocabularies/applicator/additionalProperties';
import anyOf from 'ajv/dist/vocabularies/applicator/anyOf';
import allItems from 'ajv/dist/vocabularies/applicator/items';
import patternProperties from 'ajv/dist/vocabularies/applicator/patternProperties';
import properties from 'ajv/dist/vocabularies/applicator/properties';
import references from 'ajv/dist/vocabularies/core';
import { metadataVocabulary } from 'ajv/dist/vocabularies/metadata';
import constant from 'ajv/dist/vocabularies/validation/const';
import enumeration from 'ajv/dist/vocabularies/validation/enum';
import limitItems from 'ajv/dist/vocabularies/validation/limitItems';
import limitNumber from 'ajv/dist/vocabularies/validation/limitNumber';
import pattern from 'ajv/dist/vocabularies/validation/pattern';
import required from 'ajv/dist/vocabularies/validation/required';

/** ajv says so where the keyword that it comes before is not there. */
const { before: _uniqueItems, ...items } = allItems;
const applicators = [anyOf, additionalProperties, properties, patternProperties, items];
/** Of `type` ajv has the rules without a definition. */
const type: KeywordDefinition = { keyword: 'type', schemaType: ['string', 'array'] };
const validations = [type, limitNumber, pattern, required, limitItems, constant, enumeration];

/** What a schema refuses, with ajv's words and without its types. */
export interface SchemaFinding {
  /** Keys and indices from the root. */
  path: (string | number)[];
  keyword: string;
  params: Record<string, unknown>;
  message: string;
}

/** Answers the validator of `entry`, one of `files` by their `$id`. */
export function schemaValidator(files: Readonly<Record<string, object>>, entry: string): (value: unknown) => SchemaFinding[] {
  let validate: ValidateFunction | undefined;
  return (value) => {
    validate ??= compile(files, entry);
    if (validate(value)) return [];
    return (validate.errors ?? []).map((error: ErrorObject) => ({
      path: pathOf(error.instancePath, value),
      keyword: error.keyword,
      params: error.params as Record<string, unknown>,
      message: error.message ?? error.keyword,
    }));
  };
}

function compile(files: Readonly<Record<string, object>>, entry: string): ValidateFunction {
  // That the schemas themselves are sound is seen by test/schemas, not at every start.
  const ajv = new Ajv({
    allErrors: true,
    strict: true,
    allowUnionTypes: true,
    strictTypes: false,
    inlineRefs: false,
    validateSchema: false,
    uriResolver: fileNames,
  });
  ajv.addVocabulary([...references, ...validations, ...applicators, ...metadataVocabulary, 'x-bitwright']);
  ajv.addKeyword(referenceInTime);
  for (const schema of Object.values(files)) ajv.addSchema(withReferencesInTime(schema));
  const validate = ajv.getSchema(entry);
  if (validate === undefined) throw new Error(`There is no schema ${entry}.`);
  return validate;
}

/** Our ids are paths like recipe/quantizers/gptq.schema.json: of what RFC 3986 has, relative paths and fragments. ajv's own resolver would be a sixth of it. */
const fileNames: NonNullable<Options['uriResolver']> = {
  parse: (uri) => {
    const at = `${uri}#`.indexOf('#');
    return { path: uri.slice(0, at), ...(at < uri.length && { fragment: uri.slice(at + 1) }) };
  },
  serialize: ({ path = '', fragment }) => (fragment === undefined ? path : `${path}#${fragment}`),
  resolve: (base, uri) => {
    const { pathname, hash } = new URL(uri, new URL(base, 'file:///'));
    return pathname.slice(1) + hash;
  },
};

/** A recipe names two or three of all modifiers, and ajv would compile every one of them before the first answer. */
const referenceInTime: FuncKeywordDefinition = {
  keyword: 'x-reference-in-time',
  schemaType: 'string',
  errors: 'full',
  compile: (reference: string, _parent: AnySchemaObject, { self, baseId, opts }: SchemaObjCxt) => {
    const id = opts.uriResolver.resolve(baseId, reference);
    let found: ValidateFunction | undefined;
    const validate: ReturnType<NonNullable<FuncKeywordDefinition['compile']>> = (value: unknown, place) => {
      found ??= self.getSchema(id);
      if (found === undefined) throw new Error(`There is no schema ${id}.`);
      const isValid = found(value, place) as boolean;
      validate.errors = found.errors ?? [];
      return isValid;
    };
    return validate;
  },
};

/** The schema with that keyword in place of references to other files. */
function withReferencesInTime<T>(schema: T): T {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map(withReferencesInTime) as T;
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]: [string, unknown]) =>
      key === '$ref' && typeof value === 'string' && !value.startsWith('#')
        ? [referenceInTime.keyword, value]
        : [key, withReferencesInTime(value)],
    ),
  ) as T;
}

/** Arrays are told from objects by the value itself. */
function pathOf(pointer: string, value: unknown): (string | number)[] {
  const result: (string | number)[] = [];
  let node = value;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replace(/~1/g, '/').replace(/~0/g, '~');
    const step = Array.isArray(node) ? Number(key) : key;
    result.push(step);
    node = (node as Record<string | number, unknown> | undefined)?.[step];
  }
  return result;
}
