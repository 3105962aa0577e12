// Builds the native core and its Node addon with CMake into build/native; `--test` also runs the C++ tests.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SetupError, onPath, root } from './setup.mjs';

const buildDir = path.join(root, 'build/native');
const addon = path.join(root, 'dist/native/bitwright.node');

function runQuietly(command, args, purpose) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status === 0) return stdout;
  throw new SetupError(`${purpose} failed: ${command} ${args.join(' ')}\n${error?.message ?? ''}${stdout ?? ''}${stderr ?? ''}`);
}

/** A module links happily with undefined symbols and crashes at the call. */
function checkSymbols(file) {
  if (!onPath('nm')) return;
  const undefinedSymbols = runQuietly('nm', ['-D', '--undefined-only', file], 'Reading the symbols of the addon');
  const missing = undefinedSymbols.split('\n').filter((line) => /cblas_|openblas|potrf|trtri|GOMP_|gfortran/.test(line));
  if (missing.length > 0) throw new SetupError(`The addon was linked without its BLAS: ${missing.map((line) => line.trim()).join(', ')}.`);
}

export async function buildNative() {
  if (!existsSync(path.join(buildDir, 'CMakeCache.txt'))) {
    const generator = onPath('ninja') ? ['-G', 'Ninja'] : [];
    runQuietly('cmake', ['-S', 'worker/native', '-B', buildDir, ...generator], 'Configuring the native core');
  }
  runQuietly('cmake', ['--build', buildDir, '--parallel', String(os.availableParallelism())], 'Building the native core');
  const built = path.join(buildDir, 'bitwright.node');
  if (existsSync(addon) && statSync(addon).mtimeMs >= statSync(built).mtimeMs) return;
  checkSymbols(built);
  mkdirSync(path.dirname(addon), { recursive: true });
  // A running worker has the old file mapped: writing into it would kill that worker, a rename does not.
  copyFileSync(built, `${addon}.new`);
  renameSync(`${addon}.new`, addon);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await buildNative();
    if (process.argv.includes('--test'))
      process.exitCode = spawnSync(path.join(buildDir, 'native-tests'), [], { cwd: root, stdio: 'inherit' }).status ?? 1;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
