// Memory and time of the statistics and the histogram of one tensor of 536,870,912 values (1 GB of BF16), as the editor of model files asks for them. Needs the build (npm run build, npx tsc -b) and 1 GB of disk. Prints a table for results.md.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const built = (name) => import(pathToFileURL(path.join(root, 'build', name)).href);
const { default: hosts } = await built('client/src/worker-host.js');
const { default: headers } = await built('schemas/src/model/safetensors-header.js');
const { default: files } = await built('schemas/src/model/model-files.js');

const shape = [16_384, 32_768];
const n_values = shape[0] * shape[1];
const name = 'model.embed_tokens.weight';

/** Values that are finite and of both signs, the same 16 MB again and again: what they are does not matter for the cost. */
function writeModel(file) {
  const header = Buffer.from(JSON.stringify({ [name]: { dtype: 'BF16', shape, data_offsets: [0, 2 * n_values] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const block = new Uint16Array(1 << 23);
  let state = 1;
  for (let i = 0; i < block.length; i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    block[i] = ((state >>> 16) & 0x807f) | ((((state >>> 8) % 30) + 100) << 7);
  }
  const handle = openSync(file, 'w');
  writeSync(handle, Buffer.concat([length, header]));
  for (let done = 0; done < n_values; done += block.length) writeSync(handle, Buffer.from(block.buffer));
  closeSync(handle);
}

const memoryOf = (pid, key) => Number(new RegExp(`${key}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

const folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-inspect-'));
try {
  const file = path.join(folder, 'model.safetensors');
  writeModel(file);
  const { tensors, size, sha256 } = await headers.readSafetensorsHeader(files.nodeFiles, file, 'model.safetensors');
  const model = {
    ...{ dir: folder, model_type: null, architecture_name: null, architecture: null, dtype: 'F32', tensors, modules: {} },
    files: [{ name: 'model.safetensors', size, header_sha256: sha256 }],
    ...{ side_files: [], bos_token_id: null, eos_token_id: [], quantization: null },
  };
  const worker = await hosts.startWorker({
    workerPath: path.join(root, 'dist/worker/main.js'),
    execPath: process.execPath,
    env: process.env,
    host: 'bench',
    threads: null,
    onEvent: () => undefined,
    onLog: () => undefined,
    onExit: () => undefined,
  });
  const before = memoryOf(worker.pid, 'VmRSS');
  const seconds = [];
  for (let round = 0; round < 3; round += 1) {
    const began = performance.now();
    const answer = await worker.inspectTensor({ model, name });
    seconds.push((performance.now() - began) / 1000);
    if (!('statistics' in answer)) throw new Error(answer.failure.message);
    const counted = answer.statistics.histogram.counts.reduce((sum, count) => sum + count, 0);
    if (counted !== n_values) throw new Error(`${counted} of ${n_values} values are in the histogram`);
  }
  const peak = memoryOf(worker.pid, 'VmHWM');
  await worker.dispose();
  console.log('| what | value |\n| --- | --- |');
  console.log(`| worker before, MB resident | ${before.toFixed(0)} |`);
  console.log(`| worker at its peak, MB resident | ${peak.toFixed(0)} |`);
  console.log(`| time, median of 3, s | ${seconds.sort((a, b) => a - b)[1].toFixed(1)} |`);
} finally {
  rmSync(folder, { recursive: true });
}
