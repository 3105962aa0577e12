// Builds the native core, its Node addon and, where nvcc is, the CUDA backend with CMake into build/native; `--test` also runs the C++ tests.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SetupError, onPath, root } from './setup.mjs';

/** Where `npm run build` builds, and from where the worker loads. */
const ofThisMachine = { buildDir: path.join(root, 'build/native'), distDir: path.join(root, 'dist/native'), forPackage: false };
const addonName = 'bitwright.node';
const cudaName = 'bitwright-cuda.so';

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

/** Puts a built file into dist/. A running worker has the old one mapped: writing into it would kill that worker, a rename does not. */
function deliver({ buildDir, distDir }, name, check) {
  const built = path.join(buildDir, name);
  const delivered = path.join(distDir, name);
  if (existsSync(delivered) && statSync(delivered).mtimeMs >= statSync(built).mtimeMs) return;
  check?.(built);
  mkdirSync(distDir, { recursive: true });
  copyFileSync(built, `${delivered}.new`);
  renameSync(`${delivered}.new`, delivered);
}

/**
 * Machine code for every supported device takes minutes: for packages, with BITWRIGHT_CUDA_ARCHITECTURES=all, or for some with CMake's own CUDAARCHS. Else
 * it is made for the devices of this machine; without one for Ampere, whose PTX also runs on what is newer.
 */
function cudaArchitectures({ forPackage }) {
  if (forPackage || process.env.BITWRIGHT_CUDA_ARCHITECTURES === 'all' || process.env.CUDAARCHS !== undefined) return [];
  const { stdout } = spawnSync('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader'], { encoding: 'utf8' });
  const found = [...new Set((stdout ?? '').match(/\d+\.\d+/g))].map((capability) => capability.replace('.', ''));
  return [`-DCMAKE_CUDA_ARCHITECTURES=${found.length > 0 ? found.join(';') : '80'}`];
}

export async function buildNative(parts = ofThisMachine) {
  const { buildDir, distDir, forPackage } = parts;
  const isFirst = !existsSync(path.join(buildDir, 'CMakeCache.txt'));
  if (isFirst) {
    const generator = onPath('ninja') ? ['-G', 'Ninja'] : [];
    const settings = [...generator, ...cudaArchitectures(parts), ...(forPackage ? ['-DBITWRIGHT_TESTS=OFF'] : [])];
    runQuietly('cmake', ['-S', 'worker/native', '-B', buildDir, ...settings], 'Configuring the native core');
  }
  runQuietly('cmake', ['--build', buildDir, '--parallel', String(os.availableParallelism())], 'Building the native core');
  deliver(parts, addonName, checkSymbols);
  const absent = path.join(buildDir, 'cuda-absent.txt');
  if (!existsSync(absent)) return deliver(parts, cudaName);
  rmSync(path.join(distDir, cudaName), { force: true });
  if (isFirst) process.stderr.write(readFileSync(absent, 'utf8'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await buildNative();
    if (process.argv.includes('--test'))
      process.exitCode = spawnSync(path.join(ofThisMachine.buildDir, 'native-tests'), [], { cwd: root, stdio: 'inherit' }).status ?? 1;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
