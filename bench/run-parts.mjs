// What parts of a run cost: the stages of whole runs of `bitwright quantize` as its report has them, the error through depth among them, and hashes for the lock in turn
// with a build of this program that makes none.
//
//   node bench/run-parts.mjs MODEL ROWS.jsonl [--samples 64] [--length 512] [--repeats 3] [--without-lock DIST]
//   node bench/run-parts.mjs random:1024x8 …    a Llama of random BF16 weights, made in a temporary folder: hidden size × blocks
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync, closeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    samples: { type: 'string', default: '64' },
    length: { type: 'string', default: '512' },
    repeats: { type: 'string', default: '3' },
    'without-lock': { type: 'string' },
  },
});
const [model = '', rows = ''] = positionals;
const dist = path.resolve(import.meta.dirname, '..', 'dist');
const folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-bench-'));
const vocabulary = 4096;

/** Rows of weights repeat themselves: random enough for a solver, quick to write. */
function writeRandomModel(hidden, blocks) {
  const dir = path.join(folder, 'model');
  mkdirSync(dir);
  const intermediate = Math.round((hidden * 8) / 3 / 256) * 256;
  const config = {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: blocks,
    num_attention_heads: hidden / 64,
    num_key_value_heads: hidden / 64,
    vocab_size: vocabulary,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: false,
    torch_dtype: 'bfloat16',
  };
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify(config));
  const shapes = [
    ['model.embed_tokens.weight', [vocabulary, hidden]],
    ['lm_head.weight', [vocabulary, hidden]],
    ['model.norm.weight', [hidden]],
  ];
  for (let block = 0; block < blocks; block += 1) {
    const name = (rest) => `model.layers.${block}.${rest}.weight`;
    for (const role of ['q', 'k', 'v', 'o']) shapes.push([name(`self_attn.${role}_proj`), [hidden, hidden]]);
    for (const role of ['gate', 'up']) shapes.push([name(`mlp.${role}_proj`), [intermediate, hidden]]);
    shapes.push([name('mlp.down_proj'), [hidden, intermediate]]);
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) shapes.push([name(norm), [hidden]]);
  }
  let offset = 0;
  const header = {};
  for (const [name, shape] of shapes) {
    const bytes = 2 * shape.reduce((n, extent) => n * extent, 1);
    header[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const file = openSync(path.join(dir, 'model.safetensors'), 'w');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeSync(file, length);
  writeSync(file, text);
  let state = 1;
  const random = new Uint16Array(1 << 20);
  const float = new Float32Array(1);
  for (let i = 0; i < random.length; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    float[0] = ((state / 2 ** 32 - 0.5) * 2) / Math.sqrt(hidden);
    random[i] = new Uint32Array(float.buffer)[0] >>> 16;
  }
  for (const [, shape] of shapes) {
    let left = shape.reduce((n, extent) => n * extent, 1);
    if (shape.length === 1) writeSync(file, Buffer.from(new Uint16Array(left).fill(0x3f80).buffer));
    else
      for (; left > 0; left -= random.length) {
        const begin = Math.floor((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 14) % 1024;
        const part = new Uint16Array(Math.min(left, random.length));
        part.set(random.subarray(begin, begin + part.length));
        part.set(
          random.subarray(0, part.length - Math.min(part.length, random.length - begin)),
          Math.min(part.length, random.length - begin),
        );
        writeSync(file, Buffer.from(part.buffer));
      }
  }
  closeSync(file);
  return dir;
}

function writeRandomRows() {
  const file = path.join(folder, 'rows.jsonl');
  const line = (row) =>
    JSON.stringify({ input_ids: Array.from({ length: Number(values.length) }, (_, i) => (row * 7919 + i * i * 31 + i) % vocabulary) });
  writeFileSync(file, Array.from({ length: Number(values.samples) }, (_, row) => `${line(row)}\n`).join(''));
  return file;
}

const shape = /^random:(\d+)x(\d+)$/.exec(model);
const from = shape ? writeRandomModel(Number(shape[1]), Number(shape[2])) : path.resolve(model);
const recipe = path.join(folder, 'run.quant.yaml');
const groups = 'config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: channel}}}';
writeFileSync(
  recipe,
  `model: ${from}\noutput: {dir: out}\ncalibration: {dataset: ${shape ? writeRandomRows() : path.resolve(rows)}, num_calibration_samples: ${values.samples}, max_seq_length: ${values.length}}\nq_stage: {q_modifiers: {GPTQModifier: {ignore: [lm_head], ${groups}}}}\n`,
);

/** Wall and processor seconds of the command with all its processes, and the stages of its report. */
function run(bundles) {
  rmSync(path.join(folder, 'out'), { recursive: true, force: true });
  rmSync(path.join(folder, 'out.run'), { recursive: true, force: true });
  const command = `TIMEFORMAT='%R %U %S'; time "${process.execPath}" "${path.join(bundles, 'cli', 'bitwright.js')}" quantize "${recipe}" 2>/dev/null >/dev/null`;
  const { stderr, status } = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`The run failed (${status}): ${stderr}`);
  const [wall, user, system] = stderr.trim().split(' ').map(Number);
  const { stages, seconds } = JSON.parse(readFileSync(path.join(folder, 'out.run', 'report.json'), 'utf8'));
  return { wall, cpu: user + system, seconds, stages: Object.fromEntries(stages.map(({ name, seconds: own }) => [name, own])) };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const percent = (share) => `${(100 * share).toFixed(2)} %`;
const turns = { with: [], without: [] };
for (let turn = 0; turn < Number(values.repeats); turn += 1) {
  turns.with.push(run(dist));
  if (values['without-lock']) turns.without.push(run(path.resolve(values['without-lock'])));
  console.error(`turn ${turn + 1}, load ${os.loadavg()[0].toFixed(1)}`);
}
console.log(
  `${model}, ${values.samples} rows of ${values.length} tokens: ${median(turns.with.map(({ seconds }) => seconds)).toFixed(1)} s`,
);
for (const name of Object.keys(turns.with[0].stages))
  console.log(`${name.padEnd(10)} ${percent(median(turns.with.map(({ stages, seconds }) => (stages[name] ?? 0) / seconds)))}`);
if (turns.without.length > 0)
  for (const figure of ['wall', 'cpu'])
    console.log(`lock, ${figure}: ${percent(median(turns.with.map((turn, i) => turn[figure] / turns.without[i][figure])) - 1)}`);
rmSync(folder, { recursive: true });
