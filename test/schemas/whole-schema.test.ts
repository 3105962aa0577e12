// The schemas of the bundles, short, say what the files say.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { wholeFields, wholeSchema } from '../../schemas/src/whole-schema.js';
import { repositoryRoot } from '../support/shared.js';

interface ShortSchemaScript {
  shortSchema(schema: unknown): unknown;
  shortFields(schema: object): { properties: Record<string, unknown> };
}

const inSchemas = (...parts: string[]): string => path.join(repositoryRoot, 'schemas', ...parts);
const script = async (): Promise<ShortSchemaScript> =>
  (await import(pathToFileURL(path.join(repositoryRoot, 'scripts', 'short-schema.mjs')).href)) as ShortSchemaScript;

/** What is required, in one order. */
const sorted = (schema: unknown): unknown =>
  JSON.parse(
    JSON.stringify(schema, (key, value: unknown) => (key === 'required' && Array.isArray(value) ? [...(value as string[])].sort() : value)),
  );

for (const name of ['plan', 'report', 'sensitivity', 'lock'])
  test(`the ${name} schema is the same when it was short, and shorter`, async () => {
    const { shortSchema } = await script();
    const text = readFileSync(inSchemas(`${name}.schema.json`), 'utf8');
    const schema: unknown = JSON.parse(text);
    const short = shortSchema(schema);
    assert.deepEqual(sorted(wholeSchema(short)), sorted(schema));
    assert.deepEqual(wholeSchema(schema), schema);
    assert.ok(!JSON.stringify(short).includes('"required"'), 'an object that is not like the others');
  });

test('the schema of every modifier is the same, in the same order, when its shared fields were short', async () => {
  const { shortFields } = await script();
  for (const part of ['quantizers', 'transforms', 'pruning'])
    for (const name of readdirSync(inSchemas('recipe', part))) {
      const schema = JSON.parse(readFileSync(inSchemas('recipe', part, name), 'utf8')) as { properties: Record<string, unknown> };
      const short = shortFields(schema);
      assert.ok(Object.values(short.properties).includes(0), `${name} has no shared field`);
      for (const given of [short, schema]) {
        const whole = wholeFields(given) as typeof schema;
        assert.deepEqual(whole, schema, name);
        assert.deepEqual(Object.keys(whole.properties), Object.keys(schema.properties), name);
      }
    }
});
