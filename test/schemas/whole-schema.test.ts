// The schemas of the bundles, short, say what the files say.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { wholeSchema } from '../../schemas/src/whole-schema.js';
import { repositoryRoot } from '../support/shared.js';

interface ShortSchemaScript {
  shortSchema(schema: unknown): unknown;
}

/** What is required, in one order. */
const sorted = (schema: unknown): unknown =>
  JSON.parse(
    JSON.stringify(schema, (key, value: unknown) => (key === 'required' && Array.isArray(value) ? [...(value as string[])].sort() : value)),
  );

for (const name of ['plan', 'report', 'sensitivity', 'lock'])
  test(`the ${name} schema is the same when it was short, and shorter`, async () => {
    const script = path.join(repositoryRoot, 'scripts', 'short-schema.mjs');
    const { shortSchema } = (await import(pathToFileURL(script).href)) as ShortSchemaScript;
    const text = readFileSync(path.join(repositoryRoot, 'schemas', `${name}.schema.json`), 'utf8');
    const schema: unknown = JSON.parse(text);
    const short = shortSchema(schema);
    assert.deepEqual(sorted(wholeSchema(short)), sorted(schema));
    assert.deepEqual(wholeSchema(schema), schema);
    assert.ok(!JSON.stringify(short).includes('"required"'), 'an object that is not like the others');
  });
