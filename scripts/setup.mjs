// Brings a fresh clone to a state where everything runs: npm packages, system packages, native core, bundles. Uses nothing but Node until npm has run.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');

const say = (text) => process.stderr.write(`${text}\n`);

/** A set-up step that this account cannot do: one sentence with the exact command. */
export class SetupError extends Error {}

export function onPath(command) {
  return (process.env.PATH ?? '').split(path.delimiter).some((dir) => dir !== '' && existsSync(path.join(dir, command)));
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    throw new SetupError(
      `Node ${process.versions.node} is too old: Bitwright needs Node 20.19 or newer. Install it from https://nodejs.org and run the command again.`,
    );
}

/** package-lock.json is newer than what npm installed from it. */
function packagesAreStale() {
  const installed = path.join(root, 'node_modules/.package-lock.json');
  return !existsSync(installed) || statSync(installed).mtimeMs < statSync(path.join(root, 'package-lock.json')).mtimeMs;
}

function installNpmPackages() {
  if (!packagesAreStale()) return;
  say('Installing npm packages …');
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2] });
}

/** What the native core is built with: Debian package → how to see that it is there. */
const buildPackages = {
  'g++': () => onPath('g++') || onPath('c++'),
  cmake: () => onPath('cmake'),
  'libopenblas-pthread-dev': () => openblasFolders().some((dir) => existsSync(path.join(dir, 'libopenblas.a'))),
};

function openblasFolders() {
  const lib = '/usr/lib';
  const triplets = existsSync(lib) ? readdirSync(lib).filter((name) => name.endsWith('-linux-gnu')) : [];
  return triplets.map((triplet) => path.join(lib, triplet, 'openblas-pthread'));
}

/** Installs Debian packages where the account may; else throws the sentence with the command. */
export function installSystemPackages(wanted, purpose) {
  const missing = Object.entries(wanted)
    .filter(([, isThere]) => !isThere())
    .map(([name]) => name);
  if (missing.length === 0) return;
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  const isDebian = existsSync('/etc/debian_version') && onPath('apt-get');
  if (isDebian && process.getuid?.() === 0) {
    say(`Installing ${missing.join(', ')} (${purpose}) …`);
    const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const install = () =>
      spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], {
        env: environment,
        stdio: ['ignore', 'ignore', 2],
      });
    if (install().status === 0) return;
    // A fresh machine has no package lists yet.
    spawnSync('apt-get', ['update', '-qq'], { env: environment, stdio: ['ignore', 'ignore', 2] });
    if (install().status === 0) return;
  }
  throw new SetupError(`${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing (${purpose}); install with: sudo ${command}`);
}

/** Everything that `npm run demo` needs; without `native` what the native core is built with, and not the core. */
export async function setUp({ native = true } = {}) {
  checkNode();
  installNpmPackages();
  installSystemPackages(buildPackages, 'the native core is built with it');
  const { buildNative } = await import('./build-native.mjs');
  if (native) await buildNative();
  const { buildBundles } = await import('./build.mjs');
  await buildBundles();
}

export function version() {
  return JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).version;
}

/** Runs the main function of a script; a SetupError becomes its sentence and exit code 1. */
export async function runScript(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}

// Not awaited: build-native.mjs imports this module, which would then wait for itself.
if (process.argv[1] === fileURLToPath(import.meta.url)) void runScript(() => setUp());
