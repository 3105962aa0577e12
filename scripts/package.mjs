// `npm run package`: the extension as one .vsix for this kind of machine, under build/package. `--as-built` (under build/package-as-built) takes the native parts as `npm run build` made them, with device code for this machine's GPUs alone: for tests.
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SetupError, root, runScript, setUp } from './setup.mjs';
import { buildBundles } from './build.mjs';
import { buildNative } from './build-native.mjs';
import { thirdPartyNotices } from './third-party-notices.mjs';
import { packagedFiles } from './vscode.mjs';
import { runVsce } from './vsce.mjs';

const inRoot = (...parts) => path.join(root, ...parts);

/** What tests look at: never taken for a package that one would give away. */
const asBuilt = { dir: 'build/package-as-built', nativeDir: inRoot('dist/native') };

/** The native parts of a package are built in a folder of their own: that of `npm run build` keeps the devices of its first configuration. */
const nativeForAllDevices = { buildDir: inRoot('build/native-package'), distDir: inRoot('build/native-package/dist'), forPackage: true };

const forAllDevices = { dir: 'build/package', nativeDir: nativeForAllDevices.distDir };

/** VS Code's name of the machines that the package is for. The native parts are those of the machine that builds. */
function packageTarget() {
  if (process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)) return `linux-${process.arch}`;
  throw new SetupError(
    `A package holds native parts, which are built here for Linux on x64 and arm64, and this is ${process.platform} ${process.arch}. Make the package on such a machine.`,
  );
}

/** Lays out in `stage` the files of the package and nothing else, with the same modes wherever it is made. */
async function layOutPackage(stage, nativeDir) {
  rmSync(inRoot(stage), { recursive: true, force: true });
  const isBuilt = (name) => name.startsWith('dist/');
  for (const name of packagedFiles().filter((name) => !isBuilt(name))) cpSync(inRoot(name), inRoot(stage, name));
  copyFileSync(inRoot('.vscodeignore'), inRoot(stage, '.vscodeignore'));
  // The page of an installed extension shows no pictures of a folder, and whoever reads it needs no build.
  copyFileSync(inRoot('client/README.md'), inRoot(stage, 'README.md'));
  const bundled = await buildBundles({ outDir: `${stage}/dist`, sourcemap: false });
  mkdirSync(inRoot(stage, 'dist/native'), { recursive: true });
  for (const name of readdirSync(nativeDir).filter((name) => /\.(node|so)$/.test(name)))
    copyFileSync(path.join(nativeDir, name), inRoot(stage, 'dist/native', name));
  const hasCuda = existsSync(inRoot(stage, 'dist/native/bitwright-cuda.so'));
  writeFileSync(inRoot(stage, 'ThirdPartyNotices.txt'), thirdPartyNotices(bundled, { hasCuda }));
  for (const name of filesIn(inRoot(stage))) chmodSync(path.join(inRoot(stage), name), name === 'dist/cli/bitwright.js' ? 0o755 : 0o644);
}

const filesIn = (dir) =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(dir, path.join(entry.parentPath, entry.name)))
    .sort();

/** Makes the package from what is installed and built; answers its path. */
export async function makePackage({ dir, nativeDir } = asBuilt) {
  const { name, version } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));
  const target = packageTarget();
  const stage = `${dir}/files`;
  const out = inRoot(dir, `${name}-${target}-${version}.vsix`);
  await layOutPackage(stage, nativeDir);
  runVsce({ folder: inRoot(stage), target, out });
  return out;
}

/** Bytes as the table of the README has them. */
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;

function sayWhatItHolds(out) {
  const stage = path.join(path.dirname(out), 'files');
  const sizeOf = (fits) => filesIn(stage).reduce((sum, name) => sum + (fits(name) ? statSync(path.join(stage, name)).size : 0), 0);
  const rows = [
    [path.relative(root, out), statSync(out).size],
    ['unpacked', sizeOf(() => true)],
    ['bundles (extension, server, worker, command line, webviews)', sizeOf((name) => /^dist\/(?!native\/)/.test(name))],
    ['native core for the processor', sizeOf((name) => name === 'dist/native/bitwright.node')],
    ['native core for CUDA', sizeOf((name) => name === 'dist/native/bitwright-cuda.so')],
  ];
  for (const [name, size] of rows) process.stdout.write(`${size === 0 ? 'not in it' : megabytes(size)}`.padStart(10) + `  ${name}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await runScript(async () => {
    const parts = process.argv.includes('--as-built') ? asBuilt : forAllDevices;
    await setUp({ native: parts === asBuilt });
    if (parts === forAllDevices) await buildNative(nativeForAllDevices);
    sayWhatItHolds(await makePackage(parts));
  });
