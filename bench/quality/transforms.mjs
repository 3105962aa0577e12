// Transforms and corrections beside the same quantizer without them: perplexity of the written file.
//
//   node bench/quality/transforms.mjs MODEL CALIBRATION.jsonl VALIDATION.jsonl [--samples 64] [--max-seq-length 512] [--bits 4,3] [--quantizers rtn,gptq]
//                                     [--group-size N] [--inputs 4] [--only bias,variance,…]
//
// --inputs quantizes the inputs too, to as many bits, dynamic per token. Runs the command line on a recipe of its own for each, in a temporary folder; prints Markdown.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const cli = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../dist/cli/bitwright.js');

const quantizers = { rtn: 'QuantizationModifier', gptq: 'GPTQModifier', hqq: 'HQQModifier' };

/** Name in the table → modifiers before the quantizer, and behind it. */
const additions = {
  none: [{}, {}],
  bias: [{}, { BiasCorrectionModifier: {} }],
  'variance of weights': [{}, { VarianceCorrectionModifier: {} }],
  'variance of outputs': [{}, { VarianceCorrectionModifier: { statistic: 'outputs' } }],
  both: [{}, { VarianceCorrectionModifier: { statistic: 'outputs' }, BiasCorrectionModifier: {} }],
  smoothquant: [{ SmoothQuantModifier: {} }, {}],
  awq: [{ AWQModifier: {} }, {}],
  'awq with apply_clip': [{ AWQModifier: { apply_clip: true } }, {}],
  duquant16: [{ DuQuantModifier: { block_size: 16 } }, {}],
  duquant: [{ DuQuantModifier: {} }, {}],
  hadamard: [{ HadamardModifier: {} }, {}],
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    samples: { type: 'string', default: '64' },
    'max-seq-length': { type: 'string', default: '512' },
    bits: { type: 'string', default: '4,3' },
    quantizers: { type: 'string', default: 'rtn,gptq' },
    'group-size': { type: 'string' },
    inputs: { type: 'string' },
    asymmetric: { type: 'boolean', default: false },
    only: { type: 'string', default: Object.keys(additions).join(',') },
  },
});
const [model, calibration, validation] = positionals.map((name) => path.resolve(name));
if (validation === undefined) {
  console.error('usage: node bench/quality/transforms.mjs MODEL CALIBRATION.jsonl VALIDATION.jsonl [options]');
  process.exit(2);
}

const dataset = (file) => ({ dataset: file, max_seq_length: Number(values['max-seq-length']) });

function recipeOf(folder, quantizer, num_bits, [before, behind]) {
  const group_size = values['group-size'] === undefined ? null : Number(values['group-size']);
  const strategy = group_size === null ? { strategy: 'channel' } : { strategy: 'group', group_size };
  const weights = { num_bits, type: 'int', symmetric: !values.asymmetric, ...strategy };
  const input_activations =
    values.inputs === undefined
      ? null
      : { num_bits: Number(values.inputs), type: 'int', symmetric: true, strategy: 'token', dynamic: true };
  return {
    model,
    calibration: { ...dataset(calibration), num_calibration_samples: Number(values.samples) },
    evaluate: { perplexity: dataset(validation) },
    output: { dir: path.join(folder, 'out') },
    quant_stage: {
      quant_modifiers: {
        ...before,
        [quantizers[quantizer]]: {
          ignore: ['lm_head'],
          config_groups: { group_0: { targets: ['Linear'], weights, ...(input_activations && { input_activations }) } },
        },
        ...behind,
      },
    },
  };
}

function measure(quantizer, num_bits, addition) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-quality-'));
  try {
    const file = path.join(folder, 'recipe.quant.yaml');
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(recipeOf(folder, quantizer, num_bits, additions[addition]), null, 2));
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'quantize', file, '--json'], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    if (status !== 0)
      throw new Error(`${quantizer} with ${addition} at ${num_bits} bits ended with ${status}: ${stderr}${stdout}`.slice(0, 3000));
    return JSON.parse(readFileSync(path.join(folder, 'out.run/report.json'), 'utf8'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const columns = values.bits
  .split(',')
  .flatMap((bits) => values.quantizers.split(',').map((quantizer) => ({ bits: Number(bits), quantizer })));
console.log(`| with | ${columns.map(({ bits, quantizer }) => `${quantizer}, ${bits} bits`).join(' | ')} |`);
console.log(`| --- | ${columns.map(() => '---:').join(' | ')} |`);
let before = null;
for (const addition of values.only.split(',')) {
  const cells = columns.map(({ bits, quantizer }) => {
    const { quality } = measure(quantizer, bits, addition);
    before = quality.before.perplexity;
    return quality.after.perplexity.toFixed(4);
  });
  console.log(`| ${addition} | ${cells.join(' | ')} |`);
}
console.log(`\nUnquantized: ${before}`);
