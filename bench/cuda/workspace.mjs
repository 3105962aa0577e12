// A folder to try a backend in: the program of dist/ with the backend beside its addon, and a workspace with the texts and the model of examples/.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isSpread, kindOf } from './likeness.mjs';

export const root = path.join(import.meta.dirname, '../..');
const examples = path.join(root, 'examples');
const parts = ['cli/bitwright.js', 'server/main.js', 'worker/main.js', 'native/bitwright.node'];

/** Gone when the process ends. `isSmall`: 6 rows of 64 tokens, and 3 to measure. */
export function makeWorkspace(library, isSmall) {
  const missing = parts.find((part) => !existsSync(path.join(root, 'dist', part)));
  if (missing !== undefined) throw new Error(`There is no dist/${missing}; npm run build makes it.`);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-recipes-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const at = (...names) => path.join(folder, ...names);
  for (const part of ['cli', 'server', 'worker', 'shared'])
    cpSync(path.join(root, 'dist', part), at('dist', part), { recursive: true, filter: (file) => !file.endsWith('.map') });
  mkdirSync(at('dist/native'));
  cpSync(path.join(root, 'dist/native/bitwright.node'), at('dist/native/bitwright.node'));
  // The worker looks for the backend beside the addon.
  cpSync(library, at('dist/native/bitwright-cuda.so'));
  symlinkSync(path.join(examples, 'models'), at('models'));
  mkdirSync(at('data'));
  const size = isSmall ? { calibration: 6, validation: 3, length: 64 } : { length: 256 };
  for (const name of ['calibration', 'validation']) {
    const rows = readFileSync(path.join(examples, 'data', `${name}.jsonl`), 'utf8')
      .trimEnd()
      .split('\n');
    writeFileSync(at('data', `${name}.jsonl`), `${rows.slice(0, size[name]).join('\n')}\n`);
  }

  /** As it stands in examples/, cut where all is small. Where codes may differ the divergence is measured too: the bound of the perplexity needs its standard error. */
  function writeRecipe(name) {
    const file = at(`${name}.quant.yaml`);
    const text = readFileSync(path.join(examples, `${name}.quant.yaml`), 'utf8');
    const cut = isSmall
      ? text
          .replace(/num_calibration_samples: \d+/g, `num_calibration_samples: ${size.calibration}`)
          .replace(/max_seq_length: \d+/g, `max_seq_length: ${size.length}`)
          // Calibrated on so few rows a model in 3 bits comes further than the canary allows.
          .replace(/max_mean_kld: .*/, 'max_mean_kld: 10')
      : text;
    const kind = kindOf(text);
    const asIs = !isSpread(kind) || /^ +kl_divergence:/m.test(text);
    const divergence = `evaluate:\n  kl_divergence: {dataset: data/validation.jsonl, max_seq_length: ${size.length}}\n`;
    writeFileSync(file, asIs ? cut : cut.replace(/^evaluate:\n/m, divergence));
    return { file, kind };
  }

  /** `interruptWhen` is asked again and again; Ctrl-C once it says so. */
  function run(args, { environment = {}, interruptWhen } = {}) {
    const began = performance.now();
    const child = spawn(process.execPath, [at('dist/cli/bitwright.js'), ...args], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const asking = setInterval(() => {
      if (!interruptWhen?.()) return;
      clearInterval(asking);
      child.kill('SIGINT');
    }, 5);
    let [stdout, text] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (piece) => {
      stdout += piece;
      text += piece;
    });
    child.stderr.setEncoding('utf8').on('data', (piece) => (text += piece));
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => {
        clearInterval(asking);
        resolve({ code, stdout, text, seconds: Number(((performance.now() - began) / 1000).toFixed(2)) });
      });
    });
  }

  return {
    writeRecipe,
    run,
    output: (name, device) => at('out', `${name}-${device}`),
    validation: at('data/validation.jsonl'),
    length: size.length,
  };
}

/** What to say of a command that failed: its end. */
export const endOf = ({ code, text }) => `ended with code ${code}: ${text.trim().slice(-500)}`;
