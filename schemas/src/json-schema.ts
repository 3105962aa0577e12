// Validates values by JSON Schema; the only importer of ajv. A schema is compiled at its first use: the code that ajv writes for all of them
// was more than half of all bundles when it was written at build time.
import Ajv from 'ajv';
import type { ErrorObject, ValidateFunction } from 'ajv';

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
  });
  ajv.addVocabulary(['x-bitwright']);
  for (const schema of Object.values(files)) ajv.addSchema(schema);
  const validate = ajv.getSchema(entry);
  if (validate === undefined) throw new Error(`There is no schema ${entry}.`);
  return validate;
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
