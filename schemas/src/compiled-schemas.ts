// The JSON Schemas' validators; the only importer of ajv. In the bundles this module is replaced by the code that ajv writes for it
// (scripts/standalone-validators.mjs), so that no process compiles schemas when it starts.
import Ajv from 'ajv';
import type { ValidateFunction } from 'ajv';
import lockSchema from '../lock.schema.json';
import planSchema from '../plan.schema.json';
import reportSchema from '../report.schema.json';
import sensitivitySchema from '../sensitivity.schema.json';
import { recipeSchemaFiles } from './recipe-schema-files.js';

export type { ErrorObject, ValidateFunction } from 'ajv';

/** `source` keeps the text of each validator, which the bundles are made of; without inlining it is a quarter shorter. */
export const ajv = new Ajv({
  allErrors: true,
  strict: true,
  allowUnionTypes: true,
  strictTypes: false,
  inlineRefs: false,
  code: { source: true, esm: true },
});
ajv.addVocabulary(['x-bitwright']);
for (const schema of [...Object.values(recipeSchemaFiles.files), planSchema, reportSchema, sensitivitySchema, lockSchema])
  ajv.addSchema(schema);

/** What this module gives, by name; the replacement gives the same. */
export const schemaIds = {
  recipeValidator: recipeSchemaFiles.entry,
  planValidator: planSchema.$id,
  reportValidator: reportSchema.$id,
  sensitivityValidator: sensitivitySchema.$id,
  lockValidator: lockSchema.$id,
};

export const recipeValidator = (): ValidateFunction => compiled(schemaIds.recipeValidator);
export const planValidator = (): ValidateFunction => compiled(schemaIds.planValidator);
export const reportValidator = (): ValidateFunction => compiled(schemaIds.reportValidator);
export const sensitivityValidator = (): ValidateFunction => compiled(schemaIds.sensitivityValidator);
export const lockValidator = (): ValidateFunction => compiled(schemaIds.lockValidator);

/** At the first use. */
function compiled(id: string): ValidateFunction {
  const validate = ajv.getSchema(id);
  if (validate === undefined) throw new Error(`There is no schema ${id}.`);
  return validate;
}
