// `npm test`: everything, stage by stage, from a fresh clone; ends with one line `N passed, N failed` (`, N skipped`).
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { root, runScript } from './setup.mjs';

const total = { passed: 0, failed: 0, skipped: 0 };

/** Runs a program, passes its output on, and answers its exit code and what it printed. */
function runProgram(command, args, environment = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

function add(passed, failed, skipped = 0) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
}

/** A stage that is one test: passes when the program exits 0. */
async function checkStage(name, command, args) {
  process.stdout.write(`\n== ${name}\n`);
  const { code } = await runProgram(command, args);
  process.stdout.write(code === 0 ? `ok: ${name}\n` : `FAILED: ${name} (exit code ${code})\n`);
  add(code === 0 ? 1 : 0, code === 0 ? 0 : 1);
  return code === 0;
}

/** A stage whose last line counts: `N passed, N failed` and perhaps `, N skipped`. A failing exit without a failed test counts as one failure. */
async function countedStage(name, command, args, environment) {
  process.stdout.write(`\n== ${name}\n`);
  const { code, output } = await runProgram(command, args, environment);
  const counts = [...output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm)].at(-1);
  if (counts === undefined) {
    process.stdout.write(`FAILED: ${name} ended (exit code ${code}) without a count of its tests\n`);
    add(0, 1);
    return;
  }
  const [passed, failed, skipped] = counts.slice(1).map((count) => Number(count ?? 0));
  add(passed, failed === 0 && code !== 0 ? 1 : failed, skipped);
}

function testFiles(dir) {
  return (
    readdirSync(path.join(root, dir), { recursive: true })
      .map((name) => path.join(dir, name))
      // Those of VS Code and of the package have stages of their own.
      .filter(
        (name) => name.endsWith('.test.js') && !['extension', 'package'].some((part) => name.includes(`${path.sep}${part}${path.sep}`)),
      )
      // What a deleted test was compiled to stays in build/.
      .filter((name) => existsSync(path.join(root, path.relative('build', name).replace(/\.js$/, '.ts'))))
      .sort()
  );
}

const bin = (name) => path.join('node_modules', '.bin', name);

await runScript(async () => {
  // As a user does it; what `npm run build` cannot set up, it has said.
  if (!(await checkStage('build', process.execPath, ['scripts/setup.mjs']))) {
    process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
    process.exitCode = 1;
    return;
  }
  await checkStage('format', bin('prettier'), ['--check', '--log-level=warn', '.']);
  await checkStage('lint', bin('eslint'), ['.']);
  if (!(await checkStage('types', bin('tsc'), ['-b', '.']))) {
    process.stdout.write('The TypeScript tests are not run: they are compiled by the step that failed.\n');
  } else {
    const reporter = ['--test', '--test-reporter=./scripts/test-reporter.mjs', '--test-timeout=600000'];
    await countedStage('TypeScript tests', process.execPath, [...reporter, ...testFiles('build/test')]);
  }
  await countedStage('native tests', process.execPath, ['scripts/build-native.mjs', '--test']);
  await countedStage('tests in VS Code', process.execPath, ['scripts/test-extension.mjs']);
  await countedStage('tests of the package', process.execPath, ['scripts/test-package.mjs']);
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}\n`);
  if (total.failed > 0 || total.passed === 0) process.exitCode = 1;
});
