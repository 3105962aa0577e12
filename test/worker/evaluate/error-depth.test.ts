// The error through depth: shares reckoned again from whole forward passes, zero where nothing changed, and blind to what keeps the function of the model.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { ErrorDepth, LayerError, RunReport } from '../../../schemas/src/generated/report.js';
import { describedModel, forwardPass } from '../../support/forward-pass.js';
import { withDevice } from '../../support/native-device.js';
import { tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runToCompletion, type RunWish } from '../../support/worker-run.js';

const n_tokens = 24;
const rows = Array.from({ length: 6 }, (_, row) =>
  Array.from({ length: n_tokens }, (_, i) => (11 * i + 17 * row + i * i) % tinyLlama.vocabulary),
);

interface Run {
  dir: string;
  report: RunReport;
  depth: ErrorDepth;
}

async function runOf<T>(modifiers: string, look: (run: Run) => T | Promise<T>, wish: RunWish = {}): Promise<T> {
  return inTemporaryFolder(async (dir) => {
    writeTinyLlama(path.join(dir, 'model'), 'random');
    const dataset = path.join(dir, 'rows.jsonl');
    writeFileSync(dataset, rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
    const needsRows = /GPTQ|AWQ|SmoothQuant/.test(modifiers);
    const plan = await resolvePlan({
      recipe: `quant_stage:\n  quant_modifiers:\n    ${modifiers}\n`,
      model: path.join(dir, 'model'),
      output: path.join(dir, 'out'),
      // Rounding to nearest reads no calibration rows; those of the evaluation take their place.
      ...(needsRows ? { calibration: { dataset, num_calibration_samples: rows.length } } : { evaluate: { dataset } }),
    });
    const { report } = await runToCompletion(plan, wish);
    assert.deepEqual(
      report.problems.filter(({ code }) => code === 'depth-not-measured'),
      [],
    );
    assert.ok(report.depth);
    return look({ dir, report, depth: report.depth });
  });
}

const layerOf = ({ layers }: ErrorDepth, name: string): LayerError => {
  const found = layers.find((layer) => layer.name === name);
  assert.ok(found, name);
  return found;
};
const near = (actual: number | null, expected: number, what: string, tolerance = 1e-4): void =>
  assert.ok(actual !== null && Math.abs(actual - expected) <= tolerance * Math.abs(expected), `${what}: ${actual}, not ${expected}`);

/** Σ (b − a)² / Σ a² without the first token of every row. */
function share(a: Float32Array, b: Float32Array, width: number): number {
  let [error, before] = [0, 0];
  for (let token = 0; token < a.length / width; token += 1) {
    if (token % n_tokens === 0) continue;
    for (let i = token * width; i < (token + 1) * width; i += 1) [error, before] = [error + (b[i]! - a[i]!) ** 2, before + a[i]! ** 2];
  }
  return error / before;
}

test('errors of blocks and layers are those of two whole forward passes', () =>
  runOf('QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}', async ({ dir, depth }) => {
    assert.deepEqual([depth.rows, depth.tokens], [rows.length, rows.length * (n_tokens - 1)]);
    assert.deepEqual(
      depth.blocks.map(({ block }) => block),
      [null, 0, 1],
    );
    assert.equal(depth.layers.length, 14);
    const ids = rows.map((row) => Int32Array.from(row));
    const pass = async (folder: string) => {
      const model = await describedModel(path.join(dir, folder));
      return withDevice((device) => forwardPass(device, model, ids));
    };
    const [before, after] = [await pass('model'), await pass('out')];
    assert.equal(depth.blocks[0]?.error, 0);
    for (const { name, inputs } of depth.layers) {
      assert.ok(inputs, name);
      const counted = [inputs.before, inputs.after].map((array) => {
        const bytes = readFileSync(path.join(dir, 'out.run', array.file));
        return Array.from({ length: 128 }, (_, i) => bytes.readUInt32LE(array.offset + 4 * i)).reduce((sum, count) => sum + count, 0);
      });
      const width = inputs.column_magnitudes.shape[0]!;
      assert.deepEqual(counted, [rows.length * n_tokens * width, rows.length * n_tokens * width], name);
    }
    near(depth.blocks[1]?.error ?? null, share(before.hiddenStates[1]!, after.hiddenStates[1]!, tinyLlama.hidden), 'block 0');
    const first = layerOf(depth, 'model.layers.0.self_attn.q_proj');
    assert.equal(first.propagated, 0, 'nothing comes before it');
    assert.ok(first.weight! > 0 && first.activation! > 0);
    // Both roundings are not correlated: their squares add up.
    near(first.total, first.weight! + first.activation!, 'q_proj', 0.1);
    const late = layerOf(depth, 'model.layers.1.mlp.down_proj');
    assert.ok(late.propagated! > late.weight!);
    near(late.total, late.weight! + late.activation! + late.propagated!, 'down_proj', 0.25);
  }));

test('the weights\u2019 part of a first layer is its relative output error, which the Hessian of the same rows gives', () =>
  runOf(
    'GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 3, strategy: channel}}}}',
    ({ depth, report }) => {
      for (const role of ['q_proj', 'k_proj', 'v_proj']) {
        const name = `model.layers.0.self_attn.${role}`;
        const { weight, activation, propagated, total } = layerOf(depth, name);
        // The Hessian has the first token of every row too.
        near(weight, report.layers.find((layer) => layer.name === name)!.relative_output_error!, name, 0.25);
        assert.deepEqual([activation, propagated, total], [0, 0, weight]);
      }
    },
  ));

test('what comes before the only quantized layer is without error, and what follows has none of its own', () =>
  runOf(
    'QuantizationModifier: {config_groups: {g: {targets: ["re:.*layers.1.self_attn.o_proj$"], weights: {num_bits: 4, strategy: channel}}}}',
    ({ depth }) => {
      const parts = depth.layers.map(({ name, weight, propagated }) => ({ name, own: weight! > 0, handed: propagated! > 0 }));
      assert.deepEqual(
        parts.filter(({ own }) => own).map(({ name }) => name),
        ['model.layers.1.self_attn.o_proj'],
      );
      assert.deepEqual(
        parts.filter(({ handed }) => handed).map(({ name }) => name),
        ['gate_proj', 'up_proj', 'down_proj'].map((role) => `model.layers.1.mlp.${role}`),
      );
      assert.deepEqual([depth.blocks[1]?.error, depth.blocks[2]!.error! > 0], [0, true]);
    },
  ));

test('scales and rotations, which keep the function of the model, are no error', async () => {
  const quantizer =
    'QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}}}';
  for (const transform of ['SmoothQuantModifier: {}', 'AWQModifier: {}', 'SpinQuantModifier: {rotations: [R1, R2]}'])
    await runOf(`${transform}\n    ${quantizer}`, ({ depth, dir, report }) => {
      assert.ok((report.transforms ?? []).length + (report.rotations ?? []).length > 0);
      for (const { name, total } of depth.layers) assert.ok(total! > 0 && total! < 1e-3, `${transform} ${name}: ${total}`);
      assert.ok(!existsSync(path.join(dir, 'out.run', 'rotated')));
    });
});

test('a quantized head is the last layer', () =>
  runOf('QuantizationModifier: {scheme: W8A8, targets: [lm_head]}', ({ depth }) => {
    assert.deepEqual(
      depth.layers.filter(({ total }) => total! > 0).map(({ name, block }) => [name, block]),
      [['lm_head', null]],
    );
    const { weight, activation, propagated } = depth.layers.at(-1)!;
    assert.ok(weight! > 0 && activation! > 0 && propagated === 0);
  }));

test('on the (emulated) CUDA backend the shares are those of the processor', async () => {
  const recipe = 'QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}';
  const [cpu, cuda] = [await runOf(recipe, ({ depth }) => depth), await runOf(recipe, ({ depth }) => depth, { kind: 'cuda' })];
  assert.equal(cuda.layers.length, cpu.layers.length);
  for (const layer of cuda.layers)
    for (const part of ['weight', 'activation', 'propagated', 'total'] as const)
      near(layer[part], layerOf(cpu, layer.name)[part]!, `${layer.name} ${part}`, 0.02);
});
