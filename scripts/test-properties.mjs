// `npm run test:properties`: all 100,000 random edits of test/server/properties, its seeds shared out over the processors.
import { spawn } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { root } from './setup.mjs';

/** Of 1000 edits each; npm test runs the first few. */
const n_seeds = 100;
const test = 'build/test/server/properties/edits.test.js';

function runSeeds(first, last) {
  const args = ['--test', '--test-reporter=./scripts/test-reporter.mjs', test];
  const env = { ...process.env, BITWRIGHT_PROPERTY_SEEDS: `${first}-${last}` };
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output: `seeds ${first} to ${last}:\n${output}` }));
  });
}

const began = performance.now();
const compile = spawn(process.execPath, [path.join('node_modules', 'typescript', 'bin', 'tsc'), '-b', '.'], {
  cwd: root,
  stdio: 'inherit',
});
const compiled = await new Promise((resolve) => compile.on('close', resolve));
if (compiled !== 0) process.exit(compiled ?? 1);
const n_processes = Math.min(n_seeds, os.availableParallelism());
const bounds = Array.from({ length: n_processes + 1 }, (_, index) => Math.round((index * n_seeds) / n_processes));
const runs = await Promise.all(bounds.slice(1).map((last, index) => runSeeds((bounds[index] ?? 0) + 1, last)));
for (const { output } of runs) process.stdout.write(output);
const failed = runs.some(({ code }) => code !== 0);
process.stdout.write(
  `${n_seeds} seeds, ${n_processes} processes, ${Math.round((performance.now() - began) / 1000)} s: ${failed ? 'FAILED' : 'all passed'}\n`,
);
process.exitCode = failed ? 1 : 0;
