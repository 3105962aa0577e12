// Times whole GPTQ runs, and in turn llm-compressor's `oneshot` where a Python that has it is named:
//
//   node bench/gptq-run.mjs MODEL DATASET.jsonl [--repeats 5] [--peer-repeats 1] [--samples 512] [--max-length 512] [--bits 4] [--group-size 4 | --channel]
//
// BITWRIGHT_PYTHON names the Python, BITWRIGHT_PYTHONPATH what it shall find llm-compressor and compressed-tensors by. Ours is the wall time of the
// whole command line, processes and tokenizing included; theirs is the call alone. Prints a Markdown table of medians.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.join(import.meta.dirname, '..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    repeats: { type: 'string', default: '5' },
    'peer-repeats': { type: 'string', default: '1' },
    samples: { type: 'string', default: '512' },
    'max-length': { type: 'string', default: '512' },
    bits: { type: 'string', default: '4' },
    'group-size': { type: 'string', default: '4' },
    channel: { type: 'boolean', default: false },
  },
});
const [model, dataset] = positionals.map((file) => path.resolve(file));
if (model === undefined || dataset === undefined)
  throw new Error('Say which model folder and which dataset: node bench/gptq-run.mjs MODEL DATASET.jsonl');

const strategy = values.channel ? 'strategy: channel' : `strategy: group, group_size: ${values['group-size']}`;
const modifiers = `quant_stage:
  quant_modifiers:
    GPTQModifier:
      ignore: [lm_head]
      config_groups:
        group_0: {targets: [Linear], weights: {num_bits: ${values.bits}, type: int, symmetric: true, ${strategy}}}
`;
const folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-bench-'));

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function timed(command, args, env = process.env) {
  const began = performance.now();
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', env, maxBuffer: 1 << 28 });
  const wall = (performance.now() - began) / 1000;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}\n${error?.message ?? ''}${stdout}${stderr}`);
  return { wall, stdout };
}

function runOurs() {
  const recipe = path.join(folder, 'run.quant.yaml');
  const output = path.join(folder, 'ours');
  rmSync(output, { recursive: true, force: true });
  rmSync(`${output}.run`, { recursive: true, force: true });
  writeFileSync(
    recipe,
    `model: ${JSON.stringify(model)}
calibration: {dataset: ${JSON.stringify(dataset)}, num_calibration_samples: ${values.samples}, max_seq_length: ${values['max-length']}}
output: {dir: ${JSON.stringify(output)}}
device: cpu
${modifiers}`,
  );
  const { wall, stdout } = timed(process.execPath, [path.join(root, 'dist/cli/bitwright.js'), 'quantize', recipe, '--json']);
  const stages = Object.fromEntries(JSON.parse(stdout).report.stages.map(({ name, seconds }) => [name, seconds]));
  return { wall, stages };
}

function runPeer(python) {
  const { BITWRIGHT_PYTHONPATH } = process.env;
  const env = {
    ...process.env,
    ...(BITWRIGHT_PYTHONPATH ? { PYTHONPATH: BITWRIGHT_PYTHONPATH } : {}),
    HF_HUB_OFFLINE: '1',
    CUDA_VISIBLE_DEVICES: '',
  };
  const script = path.join(root, 'bench/gptq_oneshot.py');
  const { stdout } = timed(
    python,
    [script, model, dataset, values.samples, values['max-length'], path.join(folder, 'theirs'), modifiers],
    env,
  );
  return JSON.parse(stdout.trim().split('\n').at(-1)).seconds;
}

try {
  const ours = [];
  const theirs = [];
  const python = process.env.BITWRIGHT_PYTHON;
  for (let turn = 0; turn < Number(values.repeats); turn += 1) {
    ours.push(runOurs());
    if (python && turn < Number(values['peer-repeats'])) theirs.push(runPeer(python));
    process.stderr.write(
      `turn ${turn + 1}: ours ${ours.at(-1).wall.toFixed(2)} s${theirs[turn] ? `, llm-compressor ${theirs[turn].toFixed(1)} s` : ''}; load ${os.loadavg()[0].toFixed(1)}\n`,
    );
  }
  const seconds = (n) => `${n.toFixed(2)} s`;
  const own = median(ours.map(({ wall }) => wall));
  const stage = (name) => median(ours.map(({ stages }) => stages[name] ?? 0));
  const names = [...new Set(ours.flatMap(({ stages }) => Object.keys(stages)))];
  const processor = readFileSync('/proc/cpuinfo', 'utf8').match(/model name\s*: (.*)/)?.[1] ?? os.cpus()[0]?.model;
  console.log(
    `${values.bits} bits, ${strategy}; ${values.samples} rows of at most ${values['max-length']} tokens; ${processor}, ${os.availableParallelism()} threads\n`,
  );
  console.log(`| part | time |\n| --- | ---: |`);
  for (const name of names) console.log(`| ${name} | ${seconds(stage(name))} |`);
  console.log(`| start of the processes, plan, report | ${seconds(own - names.reduce((sum, name) => sum + stage(name), 0))} |`);
  console.log(`| whole run, median of ${ours.length} | ${seconds(own)} |`);
  console.log(
    `| least and most | ${seconds(Math.min(...ours.map(({ wall }) => wall)))} – ${seconds(Math.max(...ours.map(({ wall }) => wall)))} |`,
  );
  if (theirs.length > 0) {
    console.log(`| llm-compressor, median of ${theirs.length} | ${seconds(median(theirs))} |`);
    console.log(`| ratio | ${(median(theirs) / own).toFixed(1)} |`);
  } else console.log('\nllm-compressor was not timed: BITWRIGHT_PYTHON does not name a Python.');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
