// The texts of the extension are ready for translation: those of the manifest in package.nls.json, those of the sources in the l10n bundle, none missing and none left over.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { readRepositoryFile, repositoryRoot, typescriptFiles } from './source-files.js';

interface Generator {
  l10nTexts(): { texts: string[]; unreadable: string[] };
  l10nBundle(): string;
}
const generator = import(pathToFileURL(path.join(repositoryRoot, 'scripts', 'generate-l10n.mjs')).href) as Promise<Generator>;

const manifest = JSON.parse(readRepositoryFile('package.json')) as { l10n: string };
const texts = JSON.parse(readRepositoryFile('package.nls.json')) as Record<string, string>;

/** Every text of a JSON value with the keys that lead to it. */
function textsIn(value: unknown, at: string): [string, string][] {
  if (typeof value === 'string') return [[at, value]];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => textsIn(item, `${at}.${key}`));
}

test('every key of the manifest has its text, and every text its key', () => {
  const keys = textsIn(manifest, '').flatMap(([, text]) => /^%(.*)%$/.exec(text)?.[1] ?? []);
  assert.deepEqual([...new Set(keys)].sort(), Object.keys(texts).sort());
});

test('no text of the manifest that a user reads stands in it itself', () => {
  const read = /\.(description|markdownDescription|title|category|aliases\.\d+)$/;
  assert.deepEqual(
    textsIn(manifest, '').filter(([at, text]) => read.test(at) && !/^%.*%$/.test(text)),
    [],
  );
});

test('the bundle is up to date (node scripts/generate-l10n.mjs): each l10n.t text stands in it, and nothing else', async () => {
  const { l10nTexts, l10nBundle } = await generator;
  const { texts: used, unreadable } = l10nTexts();
  assert.deepEqual(unreadable, [], 'l10n.t takes a plain text, with {0} where something is put in');
  assert.ok(used.length > 20, `${used.length} texts`);
  assert.equal(readRepositoryFile('l10n/bundle.l10n.json'), l10nBundle());
  assert.equal(manifest.l10n, './l10n');
});

test('each placeholder of a text has its value', () => {
  for (const { name, node } of calls(/(^|\.)l10n\.t$/)) {
    const [text, ...values] = node.arguments;
    const wanted = new Set([...(text as ts.StringLiteral).text.matchAll(/\{(\d+)\}/g)].map(([, index]) => Number(index)));
    assert.deepEqual([...wanted].sort(), [...values.keys()], `${name}: ${node.getText()}`);
  }
});

test('what the extension shows goes through l10n.t', () => {
  const bare = calls(/^vscode\.window\.show(Information|Warning|Error)Message$/).flatMap(({ name, node }) =>
    node.arguments
      .filter((argument) => ts.isStringLiteral(argument) || ts.isTemplateExpression(argument))
      .map(() => `${name}: ${node.getText()}`),
  );
  assert.deepEqual(bare, []);
});

function calls(callee: RegExp): { name: string; node: ts.CallExpression }[] {
  return typescriptFiles()
    .filter((name) => name.startsWith('client/src/'))
    .flatMap((name) => {
      const source = ts.createSourceFile(name, readRepositoryFile(name), ts.ScriptTarget.Latest, true);
      const found: { name: string; node: ts.CallExpression }[] = [];
      const visit = (node: ts.Node): void => {
        if (ts.isCallExpression(node) && callee.test(node.expression.getText())) found.push({ name, node });
        ts.forEachChild(node, visit);
      };
      visit(source);
      return found;
    });
}
