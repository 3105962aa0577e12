// What no file of the repository may say: paths of one machine, where packages come from, and folders that only some clones have beside them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRepositoryFile, repositoryFiles } from './source-files.js';

const binary = /\.(png|safetensors|ico|woff2?)$/;
const texts = repositoryFiles()
  .filter((name) => !binary.test(name))
  .map((name) => ({ name, text: readRepositoryFile(name) }));

/** `file:line: text` of every line that fits. */
function linesWith(expression: RegExp, fits: (name: string) => boolean = () => true): string[] {
  return texts
    .filter(({ name }) => fits(name))
    .flatMap(({ name, text }) =>
      text.split('\n').flatMap((line, i) => (expression.test(line) ? [`${name}:${i + 1}: ${line.trim().slice(0, 120)}`] : [])),
    );
}

test('no path of a particular machine', () => {
  // Built from parts, or this file would be the first to hold one.
  const roots = ['work', 'opt', 'tmp', 'home', 'root', 'Users', 'mnt', 'var/folders'].join('|');
  assert.deepEqual(linesWith(new RegExp(`(^|[^\\w.~)}\\]-])/(${roots})/\\w`)), []);
  assert.deepEqual(linesWith(/\b[A-Z]:\\\\?(Users|Windows|Program Files)\b/), []);
});

test('no address but these: namespaces, the licence, pages for a reader, this machine', () => {
  const pages = ['nodejs.org', 'arxiv.org', 'www.npmjs.com'];
  const allowed = ['json-schema.org', 'www.w3.org', 'www.apache.org', '127.0.0.1', 'localhost', ...pages];
  const others = texts
    .filter(({ name }) => name !== 'package-lock.json')
    .flatMap(({ name, text }) =>
      [...text.matchAll(/\b(?:https?|wss?|ftp):\/\/([\w.-]+)/g)].flatMap(([, host = '']) =>
        allowed.includes(host) ? [] : [`${name}: ${host}`],
      ),
    );
  assert.deepEqual(others, []);
});

test('package-lock.json names no place to download from, so that each machine uses its own', () => {
  assert.deepEqual(
    linesWith(/"resolved"/, (name) => name === 'package-lock.json'),
    [],
  );
  assert.deepEqual(
    linesWith(/registry\s*=|_auth/, (name) => name.endsWith('.npmrc')),
    [],
  );
});

test('only tests look at the folder beside the repository', () => {
  assert.deepEqual(
    linesWith(/\.\.\/shared\b/, (name) => !name.startsWith('test/')),
    [],
  );
});
