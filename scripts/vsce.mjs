// VS Code's own packager, installed once per account: its 249 packages (106 MB) would nearly double what every clone installs, for a step that few take.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { SetupError } from './setup.mjs';
import { cacheDir, npm } from './vscode.mjs';

/** The last version that runs on Node 20. `published` holds what it depends on to what there was that day. */
const packager = { name: '@vscode/vsce', version: '3.9.2', published: '2026-11-21' };

/** Path of vsce's command line. Its optional parts and install steps serve publishing (a keychain, signatures) and are left out. */
function installVsce() {
  const home = cacheDir(`vsce-${packager.version}`);
  const command = path.join(home, 'node_modules', packager.name, 'vsce');
  if (existsSync(home)) return command;
  process.stderr.write(`Installing ${packager.name} ${packager.version} to make the package (once, into ${home}) …\n`);
  mkdirSync(path.dirname(home), { recursive: true });
  // Made beside its place and moved there whole: an interrupted installation is not taken for one.
  const work = mkdtempSync(`${home}-`);
  try {
    const options = ['--no-save', '--ignore-scripts', '--omit=optional', `--before=${packager.published}`];
    npm(['install', '--prefix', work, ...options, `${packager.name}@${packager.version}`], work);
    renameSync(work, home);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return command;
}

/** The first moment that a zip can name: the same files give the same bytes. */
const zipEpoch = String(Date.UTC(1980, 0, 1) / 1000);

/** Makes `out` from a folder that holds what ships, and nothing else. */
export function runVsce({ folder, target, out }) {
  const options = ['--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links'];
  const { status, stdout, stderr, error } = spawnSync(
    process.execPath,
    [installVsce(), 'package', '--target', target, '--out', out, ...options],
    {
      cwd: folder,
      // Zip times are local times.
      env: { ...process.env, TZ: 'UTC', SOURCE_DATE_EPOCH: zipEpoch },
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new SetupError(`vsce could not make the package:\n${error?.message ?? ''}${stdout ?? ''}${stderr ?? ''}`);
  // A package that it finds fault with is not ready either.
  const warning = /^.*WARNING.*$/m.exec(`${stdout}${stderr}`)?.[0];
  if (warning !== undefined) throw new SetupError(`vsce warns about the package: ${warning.trim()}`);
}
