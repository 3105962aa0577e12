// Our validation of JSON Schemas finds what ajv finds, in its order and words: in recipes, plans, reports and analyses, as they are and damaged.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import planSchema from '../../schemas/plan.schema.json';
import reportSchema from '../../schemas/report.schema.json';
import sensitivitySchema from '../../schemas/sensitivity.schema.json';
import { schemaValidator, type SchemaFinding } from '../../schemas/src/json-schema.js';
import { recipeSchemaFiles } from '../../schemas/src/recipe-schema-files.js';
import { parseRecipe } from '../../server/src/recipe/parse-recipe.js';
import { repositoryRoot } from '../repo/source-files.js';
import { seededRandom, type Random } from '../support/random.js';
import { planIn } from '../support/recipe-fixture.js';
import { runReport } from '../support/report-fixture.js';
import { sensitivityAnalysis } from '../support/sensitivity-fixture.js';

const examples = path.join(repositoryRoot, 'examples');
const recipes = readdirSync(examples)
  .filter((name) => name.endsWith('.quant.yaml'))
  .map((name) => readFileSync(path.join(examples, name), 'utf8'));

/** What ajv finds, with its pointers read as paths. */
function peerOf(files: Readonly<Record<string, object>>, entry: string): (value: unknown) => SchemaFinding[] {
  const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true, strictTypes: false });
  ajv.addVocabulary(['x-bitwright']);
  for (const schema of Object.values(files)) ajv.addSchema(schema);
  const validate = ajv.getSchema(entry);
  assert.ok(validate);
  return (value) => {
    if (validate(value)) return [];
    return (validate.errors ?? []).map(({ instancePath, keyword, params, message }) => {
      let node = value;
      const steps = instancePath.split('/').slice(1);
      const path = steps.map((part) => {
        const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
        const step = Array.isArray(node) ? Number(key) : key;
        node = (node as Record<string | number, unknown>)[step];
        return step;
      });
      return { path, keyword, params: params as Record<string, unknown>, message: message ?? '' };
    });
  };
}

type Tree = Record<string | number, unknown>;
const strangeValues = [
  null,
  true,
  '',
  'int',
  'Linear',
  '4',
  '2:4',
  0,
  -1,
  3,
  4.5,
  1e400,
  NaN,
  [],
  {},
  ['a'],
  [[1], 2],
  { a: 1 },
  { type: 'int' },
];
const strangeKeys = ['type', 'bits', 'a~b/c', '', 'constructor', 'x_stage', 'y_modifiers', 'config_groups', 'extra'];

/** One to three changes at random places: another value, a key more, fewer or renamed. */
function damaged(value: unknown, random: Random): unknown {
  const copy = structuredClone(value);
  for (let n = 1 + random.below(3); n > 0; n -= 1) {
    const places: { node: Tree; key: string | number }[] = [];
    const visit = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return;
      for (const key of Object.keys(node)) {
        places.push({ node: node as Tree, key });
        visit((node as Tree)[key]);
      }
    };
    visit(copy);
    const { node, key } = random.of(places);
    const kind = random.below(4);
    if (kind === 0 || Array.isArray(node)) node[key] = structuredClone(random.of(strangeValues));
    else if (kind === 1) delete node[key];
    else node[random.of(strangeKeys)] = kind === 2 ? node[key] : structuredClone(random.of(strangeValues));
  }
  return copy;
}

function compare(files: Readonly<Record<string, object>>, entry: string, values: readonly unknown[], n_damaged: number): void {
  const ours = schemaValidator(files, entry);
  const peers = peerOf(files, entry);
  const keywords = new Set<string>();
  const both = (value: unknown): SchemaFinding[] => {
    const found = ours(value);
    assert.deepEqual(found, peers(value));
    for (const { keyword } of found) keywords.add(keyword);
    return found;
  };
  for (const value of values) both(value);
  const random = seededRandom(5);
  let n_refused = 0;
  for (let n = 0; n < n_damaged; n += 1) if (both(damaged(random.of(values), random)).length > 0) n_refused += 1;
  for (const value of strangeValues) both(value);
  assert.ok(n_refused > n_damaged / 3, `${n_refused} of ${n_damaged} were refused`);
  for (const keyword of ['type', 'required', 'additionalProperties']) assert.ok(keywords.has(keyword), `${keyword} has been found`);
}

test('in recipes', () => {
  const values = recipes.map((text) => parseRecipe(text).document.value);
  compare(recipeSchemaFiles.files, recipeSchemaFiles.entry, values, 2000);
});

test('in plans', async () => {
  const plans = await Promise.all(recipes.slice(0, 6).map((text) => planIn(examples, text)));
  // The widest plans have hundreds of tensors; a few keep the test short.
  const short = plans.map((plan) => ({
    ...plan,
    layers: plan.layers.slice(0, 3),
    model: { ...plan.model, tensors: plan.model.tensors.slice(0, 2) },
  }));
  compare({ [planSchema.$id]: planSchema }, planSchema.$id, JSON.parse(JSON.stringify(short)) as unknown[], 600);
});

test('in reports and analyses', () => {
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
  compare({ [reportSchema.$id]: reportSchema }, reportSchema.$id, [plain(runReport())], 500);
  compare({ [sensitivitySchema.$id]: sensitivitySchema }, sensitivitySchema.$id, [plain(sensitivityAnalysis(1, [2, 4]))], 500);
});

test('what a schema asks and nobody looks after is refused, not passed over', () => {
  const check = (schema: object): SchemaFinding[] => schemaValidator({ a: schema }, 'a')({ b: [1, 1] });
  assert.throws(
    () => check({ properties: { b: { uniqueItems: true } } }),
    /a uses uniqueItems, which schemas\/src\/json-schema\.ts does not know/,
  );
  assert.throws(() => check({ properties: { b: { $ref: '#/$defs/missing' } } }), /refers to #\/\$defs\/missing, which does not exist/);
  assert.throws(() => check({ properties: { b: false } }), /refuses everything/);
  assert.deepEqual(check({ properties: { b: { items: { $ref: '#/$defs/one' } } }, $defs: { one: { const: 1 } } }), []);
});
