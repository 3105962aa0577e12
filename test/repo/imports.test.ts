// Keeps the import rules of ARCHITECTURE.md: which folder may import which, who may import which package, and no cycles at all.
import assert from 'node:assert/strict';
import { builtinModules } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';
import { readRepositoryFile, typescriptFiles } from './source-files.js';

/** Longest prefix wins; a file may import from its own layer and from those named here. */
const layers: Record<string, readonly string[]> = {
  schemas: [],
  'schemas/src/model': ['schemas'],
  'server/src/main.ts': ['server/src/lsp', 'schemas'],
  'server/src/lsp': [
    'server/src/features',
    'server/src/checks',
    'server/src/plan',
    'server/src/model',
    'server/src/recipe',
    'schemas',
    'schemas/src/model',
  ],
  'server/src/features': ['server/src/checks', 'server/src/plan', 'server/src/model', 'server/src/recipe', 'schemas', 'schemas/src/model'],
  'server/src/checks': ['server/src/plan', 'server/src/runtimes', 'server/src/model', 'server/src/recipe', 'schemas', 'schemas/src/model'],
  'server/src/plan': ['server/src/model', 'server/src/recipe', 'schemas', 'schemas/src/model'],
  'server/src/model': ['schemas', 'schemas/src/model'],
  'server/src/runtimes': ['server/src/recipe', 'schemas'],
  'server/src/recipe': ['schemas'],
  'worker/src': ['schemas', 'schemas/src/model'],
  'client/src': ['schemas'],
  'client/webviews': ['schemas'],
  test: ['schemas', 'schemas/src/model', 'server/src', 'worker/src', 'client/src', 'client/webviews'],
};

/** Stages of the worker do not import each other; what one needs from another comes as an argument. */
const workerStages = ['observers', 'transforms', 'quantizers', 'report'];

/** Package → the only places that may import it. */
const packageOwners: Record<string, readonly string[]> = {
  vscode: ['client/src/', 'test/extension/'],
  'vscode-languageserver': ['server/src/lsp/', 'server/src/main.ts'],
  'vscode-languageserver-textdocument': ['server/src/lsp/', 'test/'],
  'vscode-languageclient': ['client/src/language-client.ts'],
  'vscode-jsonrpc': ['worker/src/connection.ts', 'worker/src/main.ts', 'client/src/worker-host.ts', 'client/src/cli/', 'test/'],
  yaml: ['server/src/recipe/', 'test/'],
  ajv: ['schemas/src/json-schema.ts', 'test/'],
  'csv-parse': ['schemas/src/dataset/', 'worker/src/calibration/', 'worker/src/evaluate/task-rows'],
  '@huggingface/tokenizers': ['worker/src/calibration/'],
  '@vscode/test-electron': ['test/extension/'],
  'playwright-core': ['test/'],
  mocha: ['test/extension/'],
  'fast-check': ['test/'],
  typescript: ['test/repo/'],
  'json-schema-to-typescript': [],
};

const layerOf = (file: string): string =>
  Object.keys(layers)
    .filter((prefix) => file === prefix || file.startsWith(`${prefix}/`))
    .sort((a, b) => b.length - a.length)[0] ?? '';

interface Import {
  from: string;
  to: string;
}

function importsOf(file: string): string[] {
  return ts.preProcessFile(readRepositoryFile(file), true, true).importedFiles.map((imported) => imported.fileName);
}

function readImports(): { internal: Import[]; packages: Import[] } {
  const files = new Set(typescriptFiles());
  const internal: Import[] = [];
  const packages: Import[] = [];
  for (const from of files)
    for (const specifier of importsOf(from)) {
      if (!specifier.startsWith('.')) {
        if (!specifier.startsWith('node:') && !builtinModules.includes(specifier))
          packages.push({
            from,
            to: specifier
              .split('/')
              .slice(0, specifier.startsWith('@') ? 2 : 1)
              .join('/'),
          });
        continue;
      }
      const joined = path.posix.join(path.posix.dirname(from), specifier).replace(/\.js$/, '.ts');
      if (files.has(joined)) internal.push({ from, to: joined });
      else
        assert.ok(
          joined.endsWith('.json') || joined.endsWith('.css'),
          `${from} imports ${specifier}, which is not a source file of the repository`,
        );
    }
  return { internal, packages };
}

const { internal, packages } = readImports();

test('a folder imports only the folders its layer allows', () => {
  const wrong = internal.filter(({ from, to }) => {
    const [layer, target] = [layerOf(from), layerOf(to)];
    if (layer === target) return false;
    return !(layers[layer] ?? []).some(
      (allowed) => target === allowed || target.startsWith(`${allowed}/`) || (layer === 'test' && target.startsWith(allowed)),
    );
  });
  assert.deepEqual(wrong, []);
});

test('stages of the worker do not import each other', () => {
  const stageOf = (file: string): string | undefined => workerStages.find((stage) => file.startsWith(`worker/src/${stage}/`));
  const wrong = internal.filter(
    ({ from, to }) => stageOf(from) !== undefined && stageOf(to) !== undefined && stageOf(from) !== stageOf(to),
  );
  assert.deepEqual(wrong, []);
});

test('a package is imported only where its owner stands', () => {
  const wrong = packages.filter(({ from, to }) => {
    const owners = packageOwners[to];
    return owners === undefined || !owners.some((owner) => from.startsWith(owner));
  });
  assert.deepEqual(wrong, []);
});

test('no import cycles, type imports included', () => {
  const targets = new Map<string, string[]>();
  for (const { from, to } of internal) targets.set(from, [...(targets.get(from) ?? []), to]);
  const done = new Set<string>();
  const trail: string[] = [];
  const cycles: string[] = [];
  const visit = (file: string): void => {
    const at = trail.indexOf(file);
    if (at >= 0) cycles.push([...trail.slice(at), file].join(' → '));
    if (at >= 0 || done.has(file)) return;
    trail.push(file);
    for (const next of targets.get(file) ?? []) visit(next);
    trail.pop();
    done.add(file);
  };
  for (const file of targets.keys()) visit(file);
  assert.deepEqual(cycles, []);
});

test('the product opens no connection: no network module of Node is imported', () => {
  const product = typescriptFiles().filter((name) => /^(schemas|server|worker|client)\//.test(name));
  const network = /^(node:)?(http|https|http2|net|tls|dgram|dns)(\/|$)/;
  const found = product.flatMap((file) =>
    importsOf(file)
      .filter((specifier) => network.test(specifier))
      .map((specifier) => `${file}: ${specifier}`),
  );
  assert.deepEqual(found, []);
});
