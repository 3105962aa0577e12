// Keeps what ARCHITECTURE.md says under "Adding something": an algorithm has its whole set of files, an operation its conformance case, a code its check and its test.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { observers, pruners, quantizers, transforms, formats } from '../../worker/src/algorithms.js';
import { codesIn, problemCodesInSources } from './problem-codes.js';
import { readRepositoryFile, repositoryFiles } from './source-files.js';

const files = repositoryFiles();
const textOf = (fits: (name: string) => boolean): string => files.filter(fits).map(readRepositoryFile).join('\n');
const nativeTests = textOf((name) => /^test\/native\/.*\.cc$/.test(name));
const tests = textOf((name) => /^test\/(?!repo\/).*\.test\.ts$/.test(name));
const names = (text: string, word: string): boolean => new RegExp(`(?<![\\w-])${word}(?![\\w-])`).test(text);

const absent = (paths: readonly string[]): string[] => paths.filter((name) => !files.includes(name));

/** Native operations by the folder of worker/native that registers them. */
const operationsByFolder = new Map(
  files
    .filter((name) => name.startsWith('worker/src/tensor/operations/'))
    .map((name) => {
      const stem = path.basename(name, '.ts');
      const called = [...readRepositoryFile(name).matchAll(/\.enqueue\(\s*'(\w+)'/g)].map(([, operation = '']) => operation);
      return [stem === 'storage' ? 'core' : stem, called];
    }),
);
const operations = [...operationsByFolder.values()].flat();

for (const [folder, stems] of Object.entries({
  quantizers: Object.keys(quantizers),
  pruning: Object.keys(pruners),
  transforms: Object.keys(transforms),
}))
  test(`${folder}: each has its schema part, worker file, native stem and native test`, () => {
    assert.ok(stems.length > 0);
    for (const stem of stems) {
      const native = `worker/native/${folder}/${stem}.cc`;
      assert.deepEqual(absent([`schemas/recipe/${folder}/${stem}.schema.json`, `worker/src/${folder}/${stem}.ts`, native]), [], stem);
      const own = operations.filter((operation) => readRepositoryFile(native).includes(`"${operation}"`));
      if (folder === 'quantizers') assert.deepEqual(absent([`server/src/plan/quantizers/${stem}.ts`]), [], stem);
      assert.ok(own.length > 0, `${native} registers no operation of worker/src/tensor/operations`);
      for (const operation of own) assert.ok(nativeTests.includes(`"${operation}"`), `test/native has no case for ${operation} of ${stem}`);
    }
  });

test('observers: each is a value that the recipe schema knows and a test names', () => {
  const schema = readRepositoryFile('schemas/recipe/scheme.schema.json');
  for (const observer of [...observers.weights, ...observers.inputs]) {
    assert.ok(schema.includes(`"${observer}"`), `scheme.schema.json does not know the observer ${observer}`);
    assert.ok(names(tests, observer), `no test names the observer ${observer}`);
  }
});

test('formats: each is one that a plan may name and a test names', () => {
  const schema = readRepositoryFile('schemas/plan.schema.json');
  for (const format of Object.keys(formats)) {
    assert.ok(schema.includes(`"${format}"`), `plan.schema.json does not know the format ${format}`);
    assert.ok(names(tests, format), `no test names the format ${format}`);
  }
});

test('native operations: each is registered in the folder that its file is named after, and has conformance cases', () => {
  assert.ok(operations.length > 30, `found ${operations.length} operations`);
  for (const [folder, called] of operationsByFolder) {
    const native = textOf((name) => name.startsWith(`worker/native/${folder}/`) && name.endsWith('.cc'));
    for (const operation of called) {
      assert.ok(native.includes(`"${operation}"`), `worker/native/${folder} has no operation ${operation}`);
      assert.ok(nativeTests.includes(`"${operation}"`), `test/native has no case for ${operation}`);
    }
  }
});

const problemCodes = problemCodesInSources();

/** Where problems come from that no check finds: the text, its meaning, its comments or the model could not be read, or the file not opened. */
const otherOrigins = [
  'server/src/recipe/',
  'server/src/plan/',
  'server/src/checks/suppressions.ts',
  'schemas/src/model/',
  'server/src/lsp/analyses.ts',
];

test('problems of a recipe: a check is a file named after its code and stands in the list, the rest comes from reading', () => {
  const listed = [...readRepositoryFile('server/src/checks/all-checks.ts').matchAll(/from '\.\/([a-z-]+)\.js'/g)].map(
    ([, code = '']) => code,
  );
  const checked = listed.filter((code) => code !== 'check');
  assert.deepEqual(absent(checked.map((code) => `server/src/checks/${code}.ts`)), []);
  assert.deepEqual(
    checked.filter((code) => !problemCodes.has(code)),
    [],
    'a check that gives no problem of its name',
  );
  for (const [code, origins] of problemCodes)
    if (!checked.includes(code))
      assert.deepEqual(
        origins.filter((origin) => !otherOrigins.some((folder) => origin.startsWith(folder))),
        [],
        `${code} has no check in all-checks.ts`,
      );
});

test('problems of a recipe: each code is named by a test, or shown by the recipe of its page, which a test runs', () => {
  const bare = [...problemCodes.keys()].filter((code) => !names(tests, code) && !files.includes(`docs/problems/${code}.md`));
  assert.deepEqual(bare, []);
});

test('problems of a run: each code is named by a test', () => {
  const codes = [...codesIn(['worker/src/']).keys()];
  assert.ok(codes.includes('rows-truncated') && codes.includes('gptq-damping-raised'), codes.join(', '));
  assert.deepEqual(
    codes.filter((code) => !names(tests, code)),
    [],
  );
});

test('failures of a run: each code is named by a test', () => {
  const codes = [...readRepositoryFile('schemas/src/run-failure.ts').matchAll(/\bfail\(\s*'([a-z-]+)'/g)].map(([, code = '']) => code);
  assert.ok(codes.length >= 20, `found ${codes.length} codes`);
  assert.deepEqual(
    codes.filter((code) => !names(tests, code)),
    [],
  );
});
