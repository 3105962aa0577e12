// The tracked and new source files of the repository, for the tests that keep its structure.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The repository root, from the compiled place of this file (build/test/repo). */
export const repositoryRoot = path.join(__dirname, '..', '..', '..');

/** Paths relative to the root, with forward slashes; ignored files left out. */
export function repositoryFiles(): string[] {
  const output = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: repositoryRoot, encoding: 'utf8' });
  return [...new Set(output.split('\n'))].filter((name) => name !== '' && existsSync(path.join(repositoryRoot, name))).sort();
}

export function typescriptFiles(): string[] {
  return repositoryFiles().filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'));
}

export function readRepositoryFile(name: string): string {
  return readFileSync(path.join(repositoryRoot, name), 'utf8');
}
