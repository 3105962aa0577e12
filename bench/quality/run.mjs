// Every method that chooses codes, at several bit widths, on a model: perplexity of the written file and the output error of each kind of layer.
//
//   node bench/quality/run.mjs --data DIR                 every row of the tables in tables.mjs that rows.jsonl does not have yet, then results.md with the new tables;
//                                                         DIR has models/stories260K and text/tinystories-{calibration,validation}.jsonl
//   node bench/quality/run.mjs --table NAME[,NAME…]       of these tables alone
//   node bench/quality/run.mjs --tables-only              runs nothing; rows.jsonl → results.md
//   node bench/quality/run.mjs MODEL CALIBRATION.jsonl VALIDATION.jsonl [--samples 512] [--max-seq-length 512] [--bits 8,4,3,2,1.58] [--group-size N] [--asymmetric]
//                              [--inputs 8] [--methods rtn,gptq,…] [--text-column text]      one table of your own, printed      (methods: methods.mjs)
//
// A row that was measured is remembered in rows.jsonl, one line each; a line that is taken out is measured again. So a run that was stopped goes on where it was.
// 1.58 bits are the levels -1, 0, 1 in 2 bits; --inputs quantizes the inputs too, to as many bits, dynamic per token.
// Runs the command line on a recipe of its own for each, in a temporary folder. Output error: ‖X̃ (W - Ŵ)‖² / ‖X̃W‖² on the calibration rows, the mean
// over the layers of a kind; for methods with error correction, which aim at ‖XW - X̃Ŵ‖ instead, it is not what they minimize.
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { methods, runsAt } from './methods.mjs';
import { markdownOf, roles, tables, writeTables } from './tables.mjs';

const folder = path.dirname(fileURLToPath(import.meta.url));
const root = path.join(folder, '../..');
const cli = path.join(root, 'dist/cli/bitwright.js');
const rowsFile = path.join(folder, 'rows.jsonl');
const resultsFile = path.join(folder, 'results.md');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: 'string' },
    table: { type: 'string' },
    'tables-only': { type: 'boolean', default: false },
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

/** 1.58 bits: three levels, symmetric alone. */
const integersOf = (bits) => (bits === 1.58 ? { num_bits: 2, levels: 'ternary' } : { num_bits: bits });

function schemeOf({ bits: own, observer, symmetric = true }, { group_size, inputs }, bits) {
  if (own !== undefined) return { targets: ['Linear'], ignore: ['lm_head'] };
  const strategy = group_size === null ? { strategy: 'channel' } : { strategy: 'group', group_size };
  const weights = { ...integersOf(bits), type: 'int', symmetric, ...strategy, ...(observer && { observer }) };
  const input_activations = inputs === null ? null : { num_bits: inputs, type: 'int', symmetric: true, strategy: 'token', dynamic: true };
  return {
    ignore: ['lm_head'],
    config_groups: { group_0: { targets: ['Linear'], weights, ...(input_activations && { input_activations }) } },
  };
}

function recipeOf(dir, method, setting, bits) {
  const { modifiers, behind = {} } = method;
  const names = Object.keys(modifiers);
  const dataset = (file) => ({ dataset: file, text_column: setting.text_column, max_seq_length: setting.max_seq_length });
  const scheme = schemeOf(method, setting, bits);
  return {
    model: setting.model,
    calibration: { ...dataset(setting.calibration), num_calibration_samples: setting.samples },
    evaluate: { perplexity: dataset(setting.validation) },
    output: { dir: path.join(dir, 'out') },
    quant_stage: {
      quant_modifiers: {
        ...Object.fromEntries(names.map((name, at) => [name, { ...(at === names.length - 1 ? scheme : {}), ...modifiers[name] }])),
        ...behind,
      },
    },
  };
}

function reportOf(method, setting, bits) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'bitwright-quality-'));
  try {
    const file = path.join(dir, 'recipe.quant.yaml');
    const recipe = recipeOf(dir, method, setting, bits);
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(recipe, null, 2));
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'quantize', file, '--json'], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    if (status !== 0)
      throw new Error(
        `${Object.keys(method.modifiers).join(' and ')} at ${bits} bits ended with ${status}: ${stderr}${stdout}`.slice(0, 3000),
      );
    return JSON.parse(readFileSync(`${recipe.output.dir}.run/report.json`, 'utf8'));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const mean = (numbers) => numbers.reduce((sum, value) => sum + value, 0) / numbers.length;

/** A row of rows.jsonl but for the names of its table. */
function measure(name, setting, bits) {
  const { layers, quality } = reportOf(methods[name], setting, bits);
  const errorsOf = (role) => layers.flatMap((layer) => (layer.role === role ? (layer.relative_output_error ?? []) : []));
  const errors = roles.map((role) => (errorsOf(role).length === 0 ? null : Number(mean(errorsOf(role)).toPrecision(3))));
  const sum = (field) => layers.reduce((total, layer) => total + field(layer), 0);
  const stored = (8 * sum((layer) => layer.bytes_after)) / sum((layer) => layer.rows * layer.columns);
  return {
    bits,
    method: name,
    perplexity: Number(quality.after.perplexity.toFixed(4)),
    errors,
    stored: Number(stored.toFixed(3)),
    unquantized: quality.before.perplexity,
  };
}

/** One method that refuses does not take the table of the others with it. */
function tryToMeasure(name, setting, bits) {
  try {
    return measure(name, setting, bits);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
    return null;
  }
}

function ownTable([model, calibration, validation]) {
  const setting = {
    model,
    calibration,
    validation,
    text_column: values['text-column'],
    max_seq_length: Number(values['max-seq-length']),
    samples: Number(values.samples),
    group_size: values['group-size'] === undefined ? null : Number(values['group-size']),
    inputs: values.inputs === undefined ? null : Number(values.inputs),
  };
  const rows = [];
  for (const bits of values.bits.split(',').map(Number))
    for (const name of values.methods.split(',')) {
      const method = values.asymmetric ? { symmetric: false, ...methods[name] } : methods[name];
      if (method === undefined) throw new Error(`${name} is none of the methods ${Object.keys(methods).join(', ')}`);
      if (runsAt(method, bits))
        rows.push(tryToMeasure(name, setting, bits) ?? { bits, method: name, perplexity: null, errors: roles.map(() => null) });
    }
  console.log(markdownOf(rows));
  console.log(`\nUnquantized: ${rows.find((row) => row.unquantized)?.unquantized}`);
}

const readRows = () =>
  existsSync(rowsFile)
    ? readFileSync(rowsFile, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];

function allTables() {
  const wanted = values.table?.split(',') ?? Object.keys(tables);
  const known = new Set(readRows().map(({ table, bits, method }) => `${table} ${bits} ${method}`));
  for (const table of values['tables-only'] ? [] : wanted) {
    const {
      setting: { inData, ...setting },
      rows,
    } = tables[table];
    if (inData && values.data === undefined) {
      console.error(`${table} is passed over: say with --data where stories260K and its texts are.`);
      process.exitCode = 1;
      continue;
    }
    const at = (file) => path.resolve(inData ? values.data : root, file);
    const placed = { ...setting, model: at(setting.model), calibration: at(setting.calibration), validation: at(setting.validation) };
    for (const { bits, method } of rows()) {
      if (known.has(`${table} ${bits} ${method}`)) continue;
      const row = tryToMeasure(method, placed, bits);
      if (row === null) continue;
      appendFileSync(rowsFile, `${JSON.stringify({ table, ...row })}\n`);
      console.log(`${table}, ${bits} bits, ${method}: ${row.perplexity}`);
    }
  }
  writeFileSync(resultsFile, writeTables(readFileSync(resultsFile, 'utf8'), readRows()));
}

if (positionals.length === 0) allTables();
else if (positionals.length === 3) ownTable(positionals.map((name) => path.resolve(name)));
else {
  console.error('usage: node bench/quality/run.mjs [--data DIR] [--table NAME] | MODEL CALIBRATION.jsonl VALIDATION.jsonl [options]');
  process.exitCode = 2;
}
