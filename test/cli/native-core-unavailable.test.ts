// A machine on which the native core does not load: one sentence says why and what helps, and recipes are checked all the same.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { glibcOfSystem, nativeCoreUnavailable } from '../../worker/src/native-core-unavailable.js';
import { repositoryRoot } from '../repo/source-files.js';
import { requireBuild } from '../support/bitwright-process.js';
import { temporaryFolder } from '../support/tiny-llama-folder.js';

const folder = temporaryFolder('no-native-core');
const addon = path.join(repositoryRoot, 'dist', 'native', 'bitwright.node');
const machine = `${process.platform} ${process.arch}`;

/** The built command line with another addon, or none. */
function bitwright(name: string, addonBytes: Buffer | null, ...args: string[]): { code: number | null; stderr: string; addon: string } {
  const home = path.join(folder, name);
  for (const part of ['cli', 'server', 'worker', 'shared'])
    cpSync(path.join(repositoryRoot, 'dist', part), path.join(home, 'dist', part), { recursive: true });
  cpSync(path.join(repositoryRoot, 'package.json'), path.join(home, 'package.json'));
  const file = path.join(home, 'dist', 'native', 'bitwright.node');
  mkdirSync(path.dirname(file));
  if (addonBytes !== null) writeFileSync(file, addonBytes);
  const { status, stderr } = spawnSync(process.execPath, [path.join(home, 'dist', 'cli', 'bitwright.js'), ...args], { encoding: 'utf8' });
  return { code: status, stderr, addon: file };
}

before(() => requireBuild('cli', 'server', 'worker'));

test('no native core: what is missing, and how to get it', () => {
  const { code, stderr, addon: file } = bitwright('absent', null, 'devices');
  assert.equal(code, 1);
  assert.equal(
    stderr.trim(),
    `The native core, which computes, cannot be loaded: ${file} is not there. Recipes are checked here all the same. Install the package of Bitwright for ${machine}; in a clone, run npm run build.`,
  );
});

test('an older glibc than it asks for: both versions', () => {
  const wanted = /GLIBC_2\.34/.exec(readFileSync(addon, 'latin1'))?.[0];
  assert.ok(wanted, 'the addon asks for glibc 2.34');
  // The real loader refuses it: the addon asks for a glibc that no system has yet.
  const { code, stderr } = bitwright('newer-glibc', askingFor(readFileSync(addon), wanted, 'GLIBC_2.94'), 'devices');
  assert.equal(code, 1);
  assert.match(
    stderr,
    new RegExp(
      `^The native core, which computes, cannot be loaded: it needs glibc 2\\.94, and this system has ${glibcOfSystem() ?? ''}\\. `,
    ),
  );
  assert.equal(stderr.trim().split('\n').length, 1, stderr);
});

/** An ELF file that names another version: in its strings, and in the hashes of the versions that it needs. */
function askingFor(bytes: Buffer, from: string, to: string): Buffer {
  for (const [search, replacement] of [
    [Buffer.from(`${from}\0`), Buffer.from(`${to}\0`)],
    [elfHash(from), elfHash(to)],
  ] as const)
    for (let at = bytes.indexOf(search); at >= 0; at = bytes.indexOf(search, at + 1)) replacement.copy(bytes, at);
  return bytes;
}

/** The hash of a symbol's name that the System V ABI gives. */
function elfHash(name: string): Buffer {
  let hash = 0;
  for (const character of name) {
    hash = ((hash << 4) + character.charCodeAt(0)) >>> 0;
    const high = (hash & 0xf0000000) >>> 0;
    hash = ((hash ^ (high >>> 24)) & ~high) >>> 0;
  }
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(hash);
  return bytes;
}

test('a broken file: the loader’s words, and the way out', () => {
  const { code, stderr } = bitwright('broken', Buffer.alloc(1000), 'devices');
  assert.equal(code, 1);
  assert.match(stderr, /bitwright\.node does not load: .*invalid ELF header\. Recipes are checked here all the same\. Install the package/);
});

test('recipes are checked without it', () => {
  const recipe = path.join(repositoryRoot, 'examples', 'w8a16-rtn.quant.yaml');
  const { code, stderr } = bitwright('check', null, 'check', recipe);
  assert.equal(code, 0, stderr);
});

test('another platform, and another C library, are named', () => {
  const facts = {
    file: 'bitwright.node',
    exists: true,
    detail: 'it is no valid Win32 application',
    platform: 'win32',
    arch: 'x64',
    glibc: null,
  };
  assert.match(
    nativeCoreUnavailable(facts).message,
    /it is made for Linux on x64 and arm64, and this is win32 x64\. .* Run the recipe on such a machine\.$/,
  );
  const alpine = { ...facts, platform: 'linux', detail: 'ld-linux-x86-64.so.2: No such file' };
  assert.match(
    nativeCoreUnavailable(alpine).message,
    /it needs the C library glibc, and this system has another one \(ld-linux-x86-64\.so\.2: No such file\)/,
  );
});
