// The folder of real models and goldens beside the repository; tests that need it skip by name where it is absent.
import { existsSync } from 'node:fs';
import path from 'node:path';

/** The repository root, from the compiled place of this file (build/test/support). */
export const repositoryRoot = path.join(__dirname, '..', '..', '..');

const shared = path.join(repositoryRoot, '..', 'shared');

const sharedDir = (): string | null => (existsSync(path.join(shared, 'golden')) ? shared : null);

/** For node:test's `skip`: false where the folder is there, else the reason. */
export const skipWithoutShared: string | false =
  sharedDir() === null ? 'the folder of real models and goldens is not beside the repository' : false;

/** A path inside the folder; only for tests that skip without it. */
export const sharedPath = (...parts: string[]): string => path.join(shared, ...parts);
