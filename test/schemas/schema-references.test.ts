// A validator of several files: a reference to another file is followed, and compiled, when a value comes there; the findings are those of one schema.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Ajv, type ErrorObject } from 'ajv';
import { schemaValidator } from '../../schemas/src/json-schema.js';
import { recipeSchemaFiles } from '../../schemas/src/recipe-schema-files.js';
import { parseRecipe } from '../../server/src/recipe/parse-recipe.js';
import { seededRandom, type Random } from '../support/random.js';
import { repositoryRoot } from '../support/shared.js';

const files = {
  'a.schema.json': {
    $id: 'a.schema.json',
    type: 'object',
    additionalProperties: false,
    properties: {
      list: { type: 'array', items: { anyOf: [{ $ref: 'parts/b.schema.json#/$defs/size' }, { type: 'null' }] } },
      'x/y': { $ref: 'parts/b.schema.json' },
      broken: { $ref: 'parts/broken.schema.json' },
      missing: { $ref: 'parts/nowhere.schema.json' },
    },
  },
  'parts/b.schema.json': {
    $id: 'parts/b.schema.json',
    type: 'object',
    required: ['size'],
    properties: { size: { $ref: '#/$defs/size' }, again: { $ref: '../a.schema.json' } },
    $defs: { size: { type: 'integer', minimum: 1 } },
  },
  'parts/broken.schema.json': { $id: 'parts/broken.schema.json', noSuchKeyword: 1 },
};

test('findings behind references have their path and words', () => {
  const findings = schemaValidator(files, 'a.schema.json');
  const shown = (value: unknown): string[] => findings(value).map(({ path, keyword }) => `${path.join('.')} ${keyword}`);
  assert.deepEqual(shown({ list: [1, null], 'x/y': { size: 2 } }), []);
  assert.deepEqual(shown({ 'x/y': { size: 0 }, other: 1 }), [' additionalProperties', 'x/y.size minimum']);
  assert.deepEqual(shown({ list: [3, 'a'] }), ['list.1 type', 'list.1 type', 'list.1 anyOf']);
  // Around in a circle, and twice through one reference.
  assert.deepEqual(shown({ 'x/y': { size: 1, again: { 'x/y': { again: { list: [0] } } } } }), [
    'x/y.again.x/y required',
    'x/y.again.x/y.again.list.0 minimum',
    'x/y.again.x/y.again.list.0 type',
    'x/y.again.x/y.again.list.0 anyOf',
  ]);
});

test('what no value comes to is not compiled, and what it leads to is not passed over', () => {
  const findings = schemaValidator(files, 'a.schema.json');
  assert.deepEqual(findings({ list: [] }), []);
  assert.throws(() => findings({ broken: 1 }), /noSuchKeyword/);
  assert.throws(() => findings({ missing: 1 }), /no schema parts\/nowhere\.schema\.json/);
});

test('recipes are judged as by one schema that is compiled at once', () => {
  const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true, strictTypes: false, inlineRefs: false });
  ajv.addVocabulary(['x-bitwright']);
  for (const schema of Object.values(recipeSchemaFiles.files)) ajv.addSchema(schema);
  const atOnce = ajv.getSchema(recipeSchemaFiles.entry);
  assert.ok(atOnce);
  const inTime = schemaValidator(recipeSchemaFiles.files, recipeSchemaFiles.entry);
  const random = seededRandom(4);
  let found = 0;
  const folder = path.join(repositoryRoot, 'examples');
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.quant.yaml'))) {
    const recipe = parseRecipe(readFileSync(path.join(folder, name), 'utf8')).document.value;
    for (let round = 0; round < 40; round += 1) {
      const value = round === 0 ? recipe : spoiled(structuredClone(recipe), random);
      const isValid = atOnce(value) as boolean;
      const errors: ErrorObject[] = isValid ? [] : (atOnce.errors ?? []);
      const wanted = errors.map(({ keyword, params, message }) => ({ keyword, params: params as unknown, message }));
      const findings = inTime(value);
      assert.deepEqual(
        findings.map(({ keyword, params, message }) => ({ keyword, params, message })),
        wanted,
      );
      found += findings.length;
    }
  }
  assert.ok(found > 500, `${found} findings`);
});

/** One to three values gone, or others in their place, or a key more. */
function spoiled(value: unknown, random: Random): unknown {
  const others = [null, 1, -3, 'x', true, [], {}, ['a', 2], { a: 1 }, 1e9, 'W4A16'];
  for (let n = random.below(3); n >= 0; n -= 1) {
    const places: [Record<string, unknown>, string][] = [];
    const walk = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return;
      for (const [key, child] of Object.entries(node)) {
        places.push([node as Record<string, unknown>, key]);
        walk(child);
      }
    };
    walk(value);
    if (places.length === 0) return value;
    const [node, key] = random.of(places);
    const way = random.below(3);
    if (way === 0) delete node[key];
    else node[way === 1 || Array.isArray(node) ? key : `${key}x`] = structuredClone(random.of(others));
  }
  return value;
}
