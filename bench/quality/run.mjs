// Every method that chooses codes, at several bit widths, on a model: perplexity of the written file and the output error of each kind of layer.
//
//   node bench/quality/run.mjs MODEL CALIBRATION.jsonl VALIDATION.jsonl [--samples 512] [--max-seq-length 512] [--bits 8,4,3,2,1.58] [--group-size N] [--asymmetric]
//                              [--inputs 8] [--methods rtn,gptq,…] [--text-column text]      (methods: below)
//
// 1.58 bits are the levels -1, 0, 1 in 2 bits; --inputs quantizes the inputs too, to as many bits, dynamic per token.
// Runs the command line on a recipe of its own for each, in a temporary folder; prints Markdown. Output error: ‖X̃ (W - Ŵ)‖² / ‖X̃W‖² on the calibration rows, the mean
// over the layers of a kind; for methods with error correction, which aim at ‖XW - X̃Ŵ‖ instead, it is not what they minimize.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const cli = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../dist/cli/bitwright.js');

/** Name in the table → modifiers with their fields; the last one chooses the codes. `symmetric` goes before --asymmetric. */
const methods = {
  // They need no rows; with rows their output errors are measured.
  rtn: { modifiers: { QuantizationModifier: { requires_calibration_data: true } } },
  hqq: { modifiers: { HQQModifier: { requires_calibration_data: true } } },
  gptq: { modifiers: { GPTQModifier: {} } },
  'rtn-mse': { modifiers: { QuantizationModifier: { requires_calibration_data: true } }, observer: 'memoryless_mse' },
  'gptq-mse': { modifiers: { GPTQModifier: {} }, observer: 'memoryless_mse' },
  'awq-rtn': { modifiers: { AWQModifier: {}, QuantizationModifier: {} } },
  'awq-gptq': { modifiers: { AWQModifier: {}, GPTQModifier: {} } },
  'smoothquant-rtn': { modifiers: { SmoothQuantModifier: { smoothing_strength: 0.8 }, QuantizationModifier: {} } },
  'smoothquant-gptq': { modifiers: { SmoothQuantModifier: { smoothing_strength: 0.8 }, GPTQModifier: {} } },
  'hadamard-gptq': { modifiers: { HadamardModifier: { rotations: ['R1', 'R2'], seed: 42 }, GPTQModifier: {} } },
  'spinquant-gptq': { modifiers: { SpinQuantModifier: { rotations: ['R1', 'R2'], transform_type: 'hadamard' }, GPTQModifier: {} } },
  'hadamard-beacon': { modifiers: { HadamardModifier: { rotations: ['R1', 'R2'], seed: 42 }, BeaconModifier: {} } },
  // 2 bits alone: pairs of weights, 16 centroids; with a second codebook vectors of 4 and 16 + 16. Codebooks and scales come on top.
  vptq: { modifiers: { VPTQModifier: { vector_len: 2, num_centroids: 16 } }, schemeless: true },
  'vptq-residual': { modifiers: { VPTQModifier: { vector_len: 4, num_centroids: 16, num_res_centroids: 16 } }, schemeless: true },
  gpfq: { modifiers: { GPFQModifier: {} } },
  comq: { modifiers: { COMQModifier: {} } },
  qronos: { modifiers: { QronosModifier: {} } },
  'beacon-plain': { modifiers: { BeaconModifier: { error_correction: false, second_start: false } } },
  beacon: { modifiers: { BeaconModifier: { error_correction: false } } },
  'beacon-corrected': { modifiers: { BeaconModifier: { error_correction: true } } },
  'beacon-corrected-whole': { modifiers: { BeaconModifier: { error_correction: true, correction_strength: 1 } } },
  'beacon-corrected-quarter': { modifiers: { BeaconModifier: { error_correction: true, correction_strength: 0.25 } } },
  'gptq-asymmetric': { modifiers: { GPTQModifier: {} }, symmetric: false },
  'beacon-asymmetric': { modifiers: { BeaconModifier: {} }, symmetric: false },
  'beacon-asymmetric-corrected': { modifiers: { BeaconModifier: { error_correction: true } }, symmetric: false },
  'beacon-no-centering': { modifiers: { BeaconModifier: { centering: false } }, symmetric: false },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    samples: { type: 'string', default: '512' },
    'max-seq-length': { type: 'string', default: '512' },
    bits: { type: 'string', default: '8,4,3,2,1.58' },
    'group-size': { type: 'string' },
    inputs: { type: 'string' },
    asymmetric: { type: 'boolean', default: false },
    methods: { type: 'string', default: Object.keys(methods).join(',') },
    'text-column': { type: 'string', default: 'text' },
  },
});
const [model, calibrationFile, validation] = positionals.map((name) => path.resolve(name));
if (validation === undefined) {
  console.error('usage: node bench/quality/run.mjs MODEL CALIBRATION.jsonl VALIDATION.jsonl [options]');
  process.exit(2);
}

/** 1.58 bits: three levels, symmetric alone. */
const integersOf = (bits) => (bits === 1.58 ? { num_bits: 2, levels: 'ternary' } : { num_bits: bits });
const runsAt = ({ schemeless = false, symmetric = !values.asymmetric }, bits) => (schemeless ? bits === 2 : bits !== 1.58 || symmetric);

function recipeOf(folder, { modifiers, observer, schemeless = false, symmetric = !values.asymmetric }, bits) {
  const group_size = values['group-size'] === undefined ? null : Number(values['group-size']);
  const weights = {
    ...integersOf(bits),
    ...(observer && { observer }),
    type: 'int',
    symmetric,
    strategy: group_size === null ? 'channel' : 'group',
    ...(group_size === null ? {} : { group_size }),
  };
  const input_activations =
    values.inputs === undefined
      ? null
      : { num_bits: Number(values.inputs), type: 'int', symmetric: true, strategy: 'token', dynamic: true };
  const dataset = (file) => ({ dataset: file, text_column: values['text-column'], max_seq_length: Number(values['max-seq-length']) });
  const names = Object.keys(modifiers);
  const schemed = {
    ignore: ['lm_head'],
    ...(schemeless
      ? {}
      : { config_groups: { group_0: { targets: ['Linear'], weights, ...(input_activations && { input_activations }) } } }),
  };
  const calibration = { ...dataset(calibrationFile), num_calibration_samples: Number(values.samples) };
  return {
    model,
    calibration,
    evaluate: { perplexity: dataset(validation) },
    output: { dir: path.join(folder, 'out') },
    quant_stage: {
      quant_modifiers: Object.fromEntries(
        names.map((name, at) => [name, { ...(at === names.length - 1 ? schemed : {}), ...modifiers[name] }]),
      ),
    },
  };
}

function measure(method, bits) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-quality-'));
  try {
    const file = path.join(folder, 'recipe.quant.yaml');
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(recipeOf(folder, method, bits), null, 2));
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'quantize', file, '--json'], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    if (status !== 0)
      throw new Error(
        `${Object.keys(method.modifiers).join(' and ')} at ${bits} bits ended with ${status}: ${stderr}${stdout}`.slice(0, 3000),
      );
    return JSON.parse(readFileSync(path.join(folder, 'out.run/report.json'), 'utf8'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const roles = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const mean = (numbers) => numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
let before = null;
const rows = [];
console.log(`| bits | method | perplexity | ${roles.join(' | ')} |\n| ---: | --- | ---: | ${roles.map(() => '---:').join(' | ')} |`);
for (const bits of values.bits.split(',').map(Number))
  for (const name of values.methods.split(',').filter((name) => runsAt(methods[name], bits))) {
    let report;
    try {
      report = measure(methods[name], bits);
    } catch (error) {
      // One method that refuses does not take the table of the others with it.
      console.log(`| ${bits} | ${name} | did not run | ${roles.map(() => '').join(' | ')} |`);
      console.error(error.message);
      process.exitCode = 1;
      continue;
    }
    before ??= report.quality?.before?.perplexity ?? null;
    const errorOf = (role) =>
      report.layers
        .filter((layer) => layer.role === role && layer.relative_output_error !== null)
        .map((layer) => layer.relative_output_error);
    const errors = roles.map((role) => (errorOf(role).length === 0 ? '–' : mean(errorOf(role)).toPrecision(3)));
    rows.push({ bits, name, report });
    if (methods[name].schemeless) {
      const sum = (field) => report.layers.reduce((total, layer) => total + field(layer), 0);
      console.error(
        `${name}: ${((8 * sum((layer) => layer.bytes_after)) / sum((layer) => layer.rows * layer.columns)).toFixed(3)} bits per weight with codebooks and scales`,
      );
    }
    console.log(`| ${bits} | ${name} | ${report.quality?.after?.perplexity?.toFixed(4)} | ${errors.join(' | ')} |`);
  }
console.log(`\nUnquantized: ${before}`);
