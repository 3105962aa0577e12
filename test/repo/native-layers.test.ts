// Keeps the layers of the native core: what a C++ file may include, by the folder it stands in.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { readRepositoryFile, repositoryFiles, repositoryRoot } from './source-files.js';

const root = 'worker/native/';
const stems = ['formats', 'forward', 'metrics', 'observers', 'pruning', 'quantizers', 'transforms'];
/** The one header that stems share beside the core: the integer grid. */
const shared = 'quantizers/grid.h';

const sources = repositoryFiles().filter((name) => name.startsWith(root) && /\.(cc|h|cu|cuh)$/.test(name));
const includes = sources.flatMap((file) =>
  [...readRepositoryFile(file).matchAll(/^\s*#\s*include\s*([<"])([^>"]+)[>"]/gm)].map(([, bracket, target = '']) => ({
    folder: file.slice(root.length).split('/')[0] ?? '',
    file,
    target,
    isOwn: bracket === '"',
  })),
);
const told = ({ file, target }: { file: string; target: string }): string => `${file} includes ${target}`;

test('the native core has sources in every folder that the rules name', () => {
  const folders = new Set(includes.map(({ folder }) => folder));
  for (const folder of ['binding', 'core', 'cuda', ...stems]) assert.ok(folders.has(folder), folder);
});

test('only the binding includes Node-API', () => {
  const wrong = includes.filter(({ folder, target }) => /napi|node_api|(^|\/)(node|uv|v8)[\w-]*\.h$/.test(target) && folder !== 'binding');
  assert.deepEqual(wrong.map(told), []);
});

/** Sources of the CUDA backend: its folder, and the kernels beside the processor's stems. */
const isCuda = (file: string): boolean => /\.cuh?$|\/kernels\.h$/.test(file) || file.startsWith(`${root}cuda/`);

test('the core includes nothing above it, a stem only the core, itself and the grid; kernels also the CUDA folder', () => {
  const mayInclude = (folder: string, file: string, target: string): boolean => {
    const to = target.split('/')[0] ?? '';
    if (to === 'cuda' && isCuda(file)) return true;
    if (folder === 'core' || folder === 'cuda') return to === 'core';
    if (stems.includes(folder)) return to === 'core' || to === folder || target === shared;
    return to === 'core' || to === folder || !target.includes('/');
  };
  const wrong = includes.filter(({ folder, file, target, isOwn }) => isOwn && !mayInclude(folder, file, target));
  assert.deepEqual(wrong.map(told), []);
});

test('only the sources of the CUDA backend include CUDA, and of cuBLAS only the check of its prototypes', () => {
  const isOfCuda = ({ target, isOwn }: { target: string; isOwn: boolean }): boolean =>
    !isOwn && /^(cuda|cublas|cusolver|library_types)/.test(target);
  assert.ok(includes.some(isOfCuda));
  assert.deepEqual(includes.filter((include) => isOfCuda(include) && !isCuda(include.file)).map(told), []);
  const cublas = includes.filter(({ target, isOwn }) => !isOwn && /^(cublas|cusolver)/.test(target)).map(({ file }) => file);
  assert.deepEqual(cublas, [`${root}cuda/cublas-check.cc`]);
});

test('own headers are included by their path from the root of the native core', () => {
  const files = new Set(sources);
  const wrong = includes.filter(
    ({ file, target, isOwn }) => isOwn && !files.has(root + target) && !files.has(path.posix.join(path.posix.dirname(file), target)),
  );
  assert.deepEqual(wrong.map(told), []);
});

test('what one kind of processor alone has is asked for where the compiler builds for it', () => {
  const isOfOneKind =
    /\b(__asm__|target_clones|__attribute__\(\(target\b|__builtin_ia32_\w+|__builtin_cpu_supports|_mm\d*_\w+|[a-z]mmintrin\.h|arm_neon\.h)/;
  const guarded = /^#if defined\(__x86_64__\)$.*?^#(else|endif)$/gms;
  assert.ok(sources.some((file) => isOfOneKind.test(readRepositoryFile(file))));
  assert.deepEqual(
    sources.filter((file) => isOfOneKind.test(readRepositoryFile(file).replace(guarded, ''))),
    [],
  );
});

const cross = 'aarch64-linux-gnu-g++';
const skip = spawnSync(cross, ['--version']).error === undefined ? false : `${cross} is not installed`;

test('what asks for the kind of processor compiles for arm64', { skip }, () => {
  const asking = sources.filter((file) => file.endsWith('.cc') && readRepositoryFile(file).includes('defined(__x86_64__)'));
  assert.ok(asking.length > 0);
  const settings = ['-std=c++20', '-fsyntax-only', '-Wall', '-Wextra', '-Wpedantic', '-Wno-psabi', '-Werror', '-I', root];
  const { status, stderr } = spawnSync(cross, [...settings, ...asking], { cwd: repositoryRoot, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});
