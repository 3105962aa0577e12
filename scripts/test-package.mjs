// Tests of the package, test/package: makes one from what is built, looks into it, installs it in a real VS Code and quantizes with it. `npm run test:package -- FILE.vsix` takes one that is there.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { makePackage } from './package.mjs';
import { root, runScript } from './setup.mjs';
import { installBrowser, installVscodeServer } from './vscode.mjs';

await runScript(async () => {
  installVscodeServer();
  installBrowser();
  const given = process.argv[2];
  const file = given === undefined ? await makePackage() : path.resolve(given);
  const dir = path.join(root, 'build/test/package');
  const tests = readdirSync(dir).filter((name) => name.endsWith('.test.js'));
  const options = ['--test', '--test-reporter=./scripts/test-reporter.mjs', '--test-concurrency=1', '--test-timeout=300000'];
  const { status } = spawnSync(process.execPath, [...options, ...tests.map((name) => path.join(dir, name))], {
    cwd: root,
    env: { ...process.env, BITWRIGHT_PACKAGE: file },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  process.exitCode = status ?? 1;
});
