// Every source file opens with a sentence that says what it is, and every test is run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRepositoryFile, repositoryFiles } from './source-files.js';

const sourceEndings = ['.ts', '.mjs', '.cc', '.h', '.cu', '.cuh', '.css'];
const sources = repositoryFiles().filter(
  (name) => sourceEndings.some((ending) => name.endsWith(ending)) && !name.startsWith('test/fixtures/'),
);

test('every source file opens with a comment sentence', () => {
  const bare = sources.filter((name) => !/^(#!.*\n)?(\/\/|\/\*) ?\S.{15,}/.test(readRepositoryFile(name)));
  assert.deepEqual(bare, []);
});

test('no test is skipped or focused without a reason', () => {
  const offending = sources.filter(
    (name) => name.endsWith('.test.ts') && /\b(test|it|describe)\.(only|todo|skip)\(/.test(readRepositoryFile(name)),
  );
  assert.deepEqual(offending, []);
});
