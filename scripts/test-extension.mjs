// Tests in a real VS Code: those inside its extension host, then the stories of a user at its window, then the pages of webviews alone in a browser. `--pictures` copies the screenshots to docs/; `--desktop` runs the first in a downloaded desktop VS Code.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runTests } from '@vscode/test-electron';
import { root, runScript } from './setup.mjs';
import { installBrowser, installVscodeServer } from './vscode.mjs';

const inRoot = (...parts) => path.join(root, ...parts);

/** Pictures that the documents show. */
const documented = [
  'report',
  'report-light',
  'report-high-contrast',
  'report-narrow',
  'diagnostics',
  'completion',
  'progress',
  'plan',
  'worker-killed',
  'interrupted-run',
  'model-file',
  'hints',
  'quick-fix',
  'quick-fix-preview',
  'sensitivity',
  'sensitivity-preview',
  'sensitivity-edited',
  'comparison',
];

/** Runs test/extension/host; answers how many tests passed and failed. */
async function runHostTests() {
  const work = mkdtempSync(path.join(os.tmpdir(), 'bitwright-host-'));
  const folder = path.join(work, 'examples');
  cpSync(inRoot('examples'), folder, { recursive: true, filter: (source) => path.relative(root, source) !== path.join('examples', 'out') });
  const results = path.join(work, 'results.json');
  try {
    const code = await runTests({
      ...(process.argv.includes('--desktop') ? {} : { vscodeExecutablePath: inRoot('scripts/vscode-launcher.mjs') }),
      extensionDevelopmentPath: root,
      extensionTestsPath: inRoot('build/test/extension/host/index.js'),
      extensionTestsEnv: { BITWRIGHT_HOST_RESULTS: results },
      launchArgs: [folder, `--user-data-dir=${path.join(work, 'user')}`, `--extensions-dir=${path.join(work, 'extensions')}`],
    }).catch((error) => error);
    if (!existsSync(results)) throw new Error(`The tests in the extension host ended (${code}) without a result.`);
    const counts = JSON.parse(readFileSync(results, 'utf8'));
    for (const { title, error } of counts.tests) process.stdout.write(error === null ? `ok     ${title}\n` : `FAILED ${title}\n${error}\n`);
    return counts;
  } finally {
    rmSync(work, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

/** Runs test/extension/stories and the pages alone, one window at a time. */
function runStories() {
  const files = ['stories', 'pages'].flatMap((part) => {
    const dir = inRoot('build/test/extension', part);
    const names = readdirSync(dir).filter((name) => name.endsWith('.test.js'));
    return names.map((name) => path.join(dir, name));
  });
  const options = ['--test', '--test-reporter=./scripts/test-reporter.mjs', '--test-concurrency=1', '--test-timeout=600000'];
  const { stdout } = spawnSync(process.execPath, [...options, ...files], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  process.stdout.write(stdout.replace(/^\d+ passed.*\n/m, ''));
  const [, passed, failed] = /^(\d+) passed, (\d+) failed/m.exec(stdout) ?? [null, 0, 1];
  return { passed: Number(passed), failed: Number(failed) };
}

await runScript(async () => {
  installVscodeServer();
  installBrowser();
  const host = await runHostTests();
  const stories = runStories();
  if (process.argv.includes('--pictures')) {
    mkdirSync(inRoot('docs'), { recursive: true });
    for (const name of documented) copyFileSync(inRoot(`build/pictures/${name}.png`), inRoot(`docs/${name}.png`));
  }
  const failed = host.failed + stories.failed;
  process.stdout.write(`${host.passed + stories.passed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
});
