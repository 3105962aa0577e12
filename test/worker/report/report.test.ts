// The report of a run: numbers that agree with each other, sidecar arrays that hold what they say, nothing silent.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { LayerMetrics, SidecarArray } from '../../../schemas/src/generated/report.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runToCompletion, type EventOf } from '../../support/worker-run.js';

const skip = skipWithoutShared;
const golden = (...parts: string[]): string => sharedPath('golden', 'compressed-tensors', ...parts);
const modifier = (body: string): string => `quant_stage:\n  quant_modifiers:\n    ${body}\n`;

function arrayOf(runDir: string, { file, dtype, shape, offset }: SidecarArray): number[] {
  const bytes = readFileSync(path.join(runDir, file));
  const count = shape.reduce((n, extent) => n * extent, 1);
  return Array.from({ length: count }, (_, i) =>
    dtype === 'U32' ? bytes.readUInt32LE(offset + 4 * i) : bytes.readFloatLE(offset + 4 * i),
  );
}

test('layer metrics and sidecars of a calibrated GPTQ run', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const output = path.join(dir, 'out');
    const plan = await resolvePlan({
      recipe: modifier('GPTQModifier: {scheme: W4A16_ASYM, ignore: [lm_head]}'),
      model: golden('base-llama'),
      output,
      calibration: { dataset: golden('calibration.jsonl'), num_calibration_samples: 16, max_seq_length: 40 },
    });
    const { report, events } = await runToCompletion(plan);
    const names = plan.layers.filter((layer) => layer.scheme).map((layer) => layer.name);
    assert.deepEqual(report.layers.map((layer) => layer.name).sort(), [...names].sort());
    for (const layer of report.layers) checkLayer(layer, `${output}.run`);
    const weights = report.layers.reduce((sum, layer) => sum + layer.rows * layer.columns, 0);
    assert.equal(report.size.bits_per_weight, (8 * report.layers.reduce((sum, layer) => sum + layer.bytes_after, 0)) / weights);
    assert.ok(report.memory.measured_peak_bytes > 0);
    assert.ok(report.problems.some(({ code, message }) => code === 'rows-truncated' && message.startsWith('16 of 16 rows')));
    checkEvents(events.filter((event) => event.kind === 'progress'));
    const kinds = events.map((event) => event.kind);
    assert.equal(kinds[0], 'run-began');
    assert.equal(kinds.filter((kind) => kind === 'layer-finished').length, 14);
    assert.deepEqual(
      events.filter((event) => event.kind === 'problem').map((event) => event.problem),
      report.problems,
    );
  }),
);

function checkLayer(layer: LayerMetrics, runDir: string): void {
  const { rows, columns, histogram, grid } = layer;
  assert.equal(layer.scheme, 'int4 g128 asym');
  // Codes, a BF16 scale and a packed zero point of four bits for each of ⌈columns / 128⌉ groups.
  const groups = columns / 128;
  assert.equal(layer.bytes_after, (rows * columns) / 2 + 2 * rows * groups + (rows / 2) * groups, layer.name);
  assert.equal(layer.bytes_before, 2 * rows * columns);
  assert.ok(layer.weight_sqnr_db! > 10 && layer.weight_sqnr_db! < 40);
  // An error of ε times the length of W turns it by at most asin ε.
  assert.ok(layer.weight_cosine! >= Math.sqrt(1 - 10 ** (-layer.weight_sqnr_db! / 10)) - 1e-9 && layer.weight_cosine! <= 1);
  assert.ok(layer.relative_output_error! > 0 && layer.relative_output_error! < 0.05);
  assert.ok(layer.clipped_share! >= 0 && layer.clipped_share! < 0.05);
  assert.equal(layer.dampening_frac, 0.01);
  assert.ok(histogram && grid);
  const counts = arrayOf(runDir, histogram);
  assert.equal(counts.length, 128);
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    rows * columns,
    'every weight lies in a bin',
  );
  assert.ok(counts[0]! > 0 && counts.at(-1)! > 0, 'the bins begin and end with the weights');
  const values = arrayOf(runDir, grid);
  assert.equal(values.length, 16);
  assert.ok(values.includes(0), 'zero is representable');
  const steps = values.slice(1).map((value, i) => value - values[i]!);
  assert.ok(steps.every((step) => Math.abs(step - steps[0]!) < 1e-6 * Math.abs(values[15]! - values[0]!)));
  assert.equal(grid.min, values[0]);
  checkPicture(layer, runDir, values);
}

function checkPicture({ rows, columns, picture, histogram }: LayerMetrics, runDir: string, grid: number[]): void {
  assert.ok(picture && histogram);
  const total = (array: SidecarArray): number => arrayOf(runDir, array).reduce((sum, count) => sum + count, 0);
  assert.equal(picture.rows, rows, 'a small weight is counted whole');
  const { column_slices, row_slices, after, error } = picture;
  for (const array of [after, error, column_slices.before, column_slices.after, row_slices.before, row_slices.after])
    assert.equal(total(array), rows * columns);
  assert.deepEqual(
    [column_slices.channels % (columns > 128 ? 128 : 8), column_slices.before.shape[1]],
    [0, 64],
    'slices hold whole groups',
  );
  assert.equal(row_slices.channels * row_slices.before.shape[0]!, rows);
  // No error is larger than a step, and the largest lies at an end of its bins.
  assert.ok(error.max! > 0 && error.max! < 2 * Math.abs(grid[15]! - grid[0]!) && error.min === -error.max!);
  const counts = arrayOf(runDir, error);
  assert.ok(counts[0]! + counts.at(-1)! > 0);
  const [strip, lines] = [picture.column_magnitudes, picture.row_magnitudes].map((array) => arrayOf(runDir, array));
  assert.deepEqual([strip!.length, lines!.length], [columns, rows]);
  const largest = Math.max(-histogram.min!, histogram.max!);
  assert.equal(Math.max(...strip!), Math.fround(largest));
  assert.ok(Math.abs(Math.max(...lines!) / largest - 1) < 1e-6, `${Math.max(...lines!)}, not ${largest}`);
}

function checkEvents(progress: EventOf<'progress'>[]): void {
  assert.ok(progress.length > 0);
  progress.forEach(({ fraction }, i) => assert.ok(fraction >= (progress[i - 1]?.fraction ?? 0) && fraction <= 1));
  assert.ok(progress.every(({ eta_seconds }) => eta_seconds === null || eta_seconds >= 0));
}

test('the relative output error of GPTQ is smaller than that of rounding to nearest, layer by layer', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const errors = async (name: string, body: string): Promise<Map<string, number>> => {
      const plan = await resolvePlan({
        recipe: modifier(body),
        model: sharedPath('data', 'models', 'stories260K'),
        output: path.join(dir, name),
        calibration: {
          dataset: sharedPath('data', 'text', 'tinystories-calibration.jsonl'),
          num_calibration_samples: 32,
          max_seq_length: 256,
        },
      });
      const { report } = await runToCompletion(plan);
      return new Map(report.layers.map((layer) => [layer.name, layer.relative_output_error!]));
    };
    const scheme =
      'ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 3, type: int, strategy: channel}, input_activations: {num_bits: 8, type: int, strategy: tensor, dynamic: false, observer: static_minmax}}}';
    const [rtn, gptq] = [await errors('rtn', `QuantizationModifier: {${scheme}}`), await errors('gptq', `GPTQModifier: {${scheme}}`)];
    assert.equal(gptq.size, 35);
    for (const [name, error] of gptq) assert.ok(error < rtn.get(name)!, `${name}: ${error} against ${rtn.get(name)}`);
  }),
);

test('what happens to a layer beside the plan is told: dead columns, a skipped embedding, the range of the last row', () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const rows = path.join(dir, 'rows.jsonl');
    writeFileSync(rows, '{"input_ids": [5, 6, 7, 8, 9, 10]}\n{"input_ids": [11, 12, 13]}\n');
    const args =
      'weights: {num_bits: 4, type: int, strategy: group, group_size: 16}, input_activations: {num_bits: 8, type: int, strategy: tensor, dynamic: false, observer: memoryless_minmax}';
    const plan = await resolvePlan({
      recipe: modifier(
        `GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], ${args}}, e: {targets: [Embedding], weights: {num_bits: 8, type: int, strategy: channel}}}}`,
      ),
      model,
      output: path.join(dir, 'out'),
      calibration: { dataset: rows, num_calibration_samples: 2 },
    });
    // A norm weight of zero: the first channel of what it feeds is zero for every token.
    const norm = plan.model.tensors.find(({ name }) => name === 'model.layers.0.post_attention_layernorm.weight')!;
    const file = path.join(model, 'model.safetensors');
    const bytes = readFileSync(file);
    bytes.writeFloatLE(0, norm.offset);
    writeFileSync(file, bytes);
    const { report } = await runToCompletion(plan);
    const told = (code: string): string[] => report.problems.filter((problem) => problem.code === code).map(({ layer }) => layer ?? '');
    assert.deepEqual(told('embedding-skipped'), ['model.embed_tokens']);
    assert.deepEqual(told('gptq-dead-columns').sort(), ['model.layers.0.mlp.gate_proj', 'model.layers.0.mlp.up_proj']);
    assert.equal(told('static-range-of-last-row').length, 7 * tinyLlama.blocks);
    const gate = report.layers.find(({ name }) => name === 'model.layers.0.mlp.gate_proj');
    assert.equal(gate?.dead_columns, 1);
    assert.ok(report.problems.every(({ recipe_path }) => recipe_path !== null && recipe_path.length > 0));
  }));
