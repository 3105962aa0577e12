// Every schema is a sound one by ajv's strict reading, and findings carry keys and indices as they are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import lockSchema from '../../schemas/lock.schema.json';
import planSchema from '../../schemas/plan.schema.json';
import reportSchema from '../../schemas/report.schema.json';
import sensitivitySchema from '../../schemas/sensitivity.schema.json';
import { schemaValidator } from '../../schemas/src/json-schema.js';
import { recipeSchemaFiles } from '../../schemas/src/recipe-schema-files.js';
import { asLock, asReport } from '../../schemas/src/validate.js';

test('the schemas follow draft 7, and all that they refer to is there', () => {
  const ajv = new Ajv({ strict: true, allowUnionTypes: true, strictTypes: false });
  ajv.addVocabulary(['x-bitwright']);
  const schemas = [...Object.values(recipeSchemaFiles.files), lockSchema, planSchema, reportSchema, sensitivitySchema];
  for (const schema of schemas) {
    assert.equal(ajv.validateSchema(schema), true, `${(schema as { $id: string }).$id}: ${ajv.errorsText()}`);
    ajv.addSchema(schema);
  }
  for (const schema of schemas) assert.equal(typeof ajv.getSchema((schema as { $id: string }).$id), 'function');
});

test('the validator knows every keyword of every schema, each of which it compiles alone', () => {
  const files = recipeSchemaFiles.files as Record<string, { $id: string }>;
  for (const { $id } of Object.values(files)) schemaValidator(files, $id)({});
  for (const schema of [lockSchema, planSchema, reportSchema, sensitivitySchema]) schemaValidator({ [schema.$id]: schema }, schema.$id)({});
  assert.throws(() => schemaValidator({ s: { $id: 's', uniqueItems: true } }, 's')([]), /strict mode: unknown keyword: "uniqueItems"/);
});

test('what is none of what it should be is called by its name', () => {
  const [report, lock] = [asReport({}), asLock({})];
  assert.match('error' in report ? report.error : '', /^the report must have required property/);
  assert.match('error' in lock ? lock.error : '', /^the lock must have required property/);
});

test('a path has the keys as they are written and the indices as numbers', () => {
  const validate = schemaValidator(
    { s: { $id: 's', additionalProperties: { type: 'array', items: { type: 'object', additionalProperties: { type: 'string' } } } } },
    's',
  );
  assert.deepEqual(validate({ 'a/b~c': [{}, { 7: 1 }] }), [
    { path: ['a/b~c', 1, '7'], keyword: 'type', params: { type: 'string' }, message: 'must be string' },
  ]);
  assert.deepEqual(validate({ 'a/b~c': [{}] }), []);
});

test('a schema that is not there is named', () => {
  assert.throws(() => schemaValidator({}, 'absent.schema.json')(1), /There is no schema absent\.schema\.json\./);
});
