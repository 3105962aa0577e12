// The committed types of the schemas are what the generator writes today.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readRepositoryFile, repositoryRoot } from './source-files.js';

interface Generator {
  generateTypes(name: string): Promise<string>;
}

for (const name of ['plan', 'report', 'sensitivity', 'lock'])
  test(`schemas/src/generated/${name}.ts is up to date (npm run generate)`, async () => {
    const url = pathToFileURL(path.join(repositoryRoot, 'scripts/generate-types.mjs')).href;
    const { generateTypes } = (await import(url)) as Generator;
    assert.equal(readRepositoryFile(`schemas/src/generated/${name}.ts`), await generateTypes(name));
  });
