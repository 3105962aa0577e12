// Rotations of a whole model: what it computes stays to 1e-4 of the largest logit, with biases, shared heads, a tied head and sizes that are no power of two.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Device } from '../../../worker/src/tensor/tensor.js';
import { describedModel, forwardPass } from '../../support/forward-pass.js';
import { tinyLlama, writeModel, type TinyModel } from '../../support/model-fixture.js';
import { withDevice } from '../../support/native-device.js';
import { spikedValues } from '../../support/random.js';
import { inTemporaryFolder, resolvePlan, runToCompletion, type FinishedRun } from '../../support/worker-run.js';
import { RunContext } from '../../../worker/src/run-context.js';
import { rotateModel, rotationOf } from '../../../worker/src/jobs/rotate-model.js';
import { MemoryGovernor } from '../../../worker/src/memory/memory-governor.js';

const quantizer =
  'QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, type: int, strategy: channel}}}}';
const documents = [Int32Array.from({ length: 24 }, (_, i) => (7 * i + 3) % 32), Int32Array.from({ length: 9 }, (_, i) => (5 * i) % 32)];

async function logitsOf(device: Device, dir: string): Promise<Float32Array> {
  return (await forwardPass(device, await describedModel(dir), documents)).logits;
}

/** Largest difference of the logits before and after, as a part of the largest logit. */
async function change(model: TinyModel, modifier: string): Promise<number> {
  return inTemporaryFolder(async (dir) => {
    const folder = writeModel(path.join(dir, 'model'), model, spikedValues());
    const recipe = `quant_stage:\n  quant_modifiers:\n    ${modifier}\n    ${quantizer}\n`;
    const plan = await resolvePlan({ recipe, model: folder, output: path.join(dir, 'out') });
    const rotation = rotationOf(plan);
    assert.ok(rotation, 'the plan has a rotation');
    return withDevice(async (device) => {
      const facts = { kind: 'cpu' as const, name: 'test', threads: 2 };
      const context = new RunContext(plan, [device], facts, path.join(dir, 'run'), 'test', () => undefined, 'run-1');
      const rotated = await rotateModel(context, rotation, new MemoryGovernor(context.devices, () => undefined));
      const [before, after] = [await logitsOf(device, folder), await logitsOf(device, rotated.dir)];
      const largest = before.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      assert.ok(largest > 0.01, `logits up to ${largest}`);
      const query = readFileSync(path.join(rotated.dir, 'model.safetensors'));
      assert.ok(!query.equals(readFileSync(path.join(folder, 'model.safetensors'))), 'the weights are others');
      return before.reduce((most, value, i) => Math.max(most, Math.abs(value - after[i]!)), 0) / largest;
    });
  });
}

const biases = (model: TinyModel, modules: readonly string[]): TinyModel => {
  const tensors = { ...model.tensors };
  for (const [name, shape] of Object.entries(model.tensors))
    if (modules.some((module) => name.endsWith(`${module}.weight`))) tensors[name.replace(/weight$/, 'bias')] = [shape[0]!];
  return { ...model, tensors };
};

const tied = (): TinyModel => {
  const model = tinyLlama({ config: { tie_word_embeddings: true } });
  const { 'lm_head.weight': _head, ...tensors } = model.tensors;
  return { ...model, tensors };
};

const qwen = (): TinyModel => {
  const model = biases(tinyLlama(), ['q_proj', 'k_proj', 'v_proj']);
  return { ...model, config: { ...model.config, architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2' } };
};

const cases: readonly [string, TinyModel, string][] = [
  ['heads that share values, hidden size a power of two', tinyLlama(), 'SpinQuantModifier: {}'],
  ['random signs', tinyLlama(), 'SpinQuantModifier: {transform_type: random-hadamard}'],
  ['only R1', tinyLlama(), 'SpinQuantModifier: {rotations: [r1]}'],
  ['only R2', tinyLlama(), 'SpinQuantModifier: {rotations: [R2]}'],
  ['pieces of 16', tinyLlama(), 'SpinQuantModifier: {transform_block_size: 16}'],
  ['hidden size 96 = 12 · 8, heads of 12', tinyLlama({ hidden: 96, keyValues: 48 }), 'HadamardModifier: {}'],
  ['hidden size 160 = 20 · 8, heads of 20, no signs', tinyLlama({ hidden: 160, keyValues: 80 }), 'HadamardModifier: {randomize: false}'],
  ['a tied head', tied(), 'HadamardModifier: {seed: 5}'],
  ['biases of q, k and v', qwen(), 'HadamardModifier: {}'],
  [
    'biases of all linears of attention and MLP',
    (() => {
      const model = biases(tinyLlama(), ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']);
      return { ...model, config: { ...model.config, attention_bias: true, mlp_bias: true } };
    })(),
    'HadamardModifier: {}',
  ],
];

for (const [name, model, modifier] of cases)
  test(`the model computes the same: ${name}`, async () => {
    const changed = await change(model, modifier);
    assert.ok(changed < 1e-4, `logits change by ${changed} of the largest`);
  });

async function runTied(modifier: string): Promise<FinishedRun & { config: Record<string, unknown>; runDir: string[] }> {
  return inTemporaryFolder(async (dir) => {
    const folder = writeModel(path.join(dir, 'model'), tied(), spikedValues());
    const recipe = `quant_stage:\n  quant_modifiers:\n    ${modifier}\n    ${quantizer}\n`;
    const plan = await resolvePlan({ recipe, model: folder, output: path.join(dir, 'out') });
    const run = await runToCompletion(plan);
    const config = JSON.parse(readFileSync(path.join(dir, 'out', 'config.json'), 'utf8')) as Record<string, unknown>;
    const described = await describedModel(path.join(dir, 'out'));
    assert.equal(
      described.tensors.some((tensor) => tensor.name === 'lm_head.weight'),
      config['tie_word_embeddings'] === false,
    );
    return { ...run, config, runDir: existsSync(path.join(dir, 'out.run', 'rotated')) ? ['rotated'] : [] };
  });
}

test('a run: the head gets its own matrix, the report says how far each matrix stood out, and the rotated model is gone', async () => {
  const { report, config, runDir } = await runTied('HadamardModifier: {}');
  assert.equal(config['tie_word_embeddings'], false);
  assert.deepEqual(runDir, []);
  const rotations = report?.rotations ?? [];
  // Embedding, head, and seven linears in each of two blocks.
  assert.equal(rotations.length, 16);
  const mean = (of: (rotation: (typeof rotations)[number]) => number): number =>
    rotations.reduce((sum, rotation) => sum + of(rotation), 0) / rotations.length;
  const [before, after] = [mean((rotation) => rotation.incoherence_before), mean((rotation) => rotation.incoherence_after)];
  assert.ok(after < 0.7 * before, `incoherence ${before} became ${after}`);
});

test('R2 alone leaves a tied head tied', async () => {
  const { config } = await runTied('HadamardModifier: {rotations: [R2]}');
  assert.equal(config['tie_word_embeddings'], true);
});

test('a number that is not finite is told with its tensor before it is spread over a row', () =>
  inTemporaryFolder(async (dir) => {
    let n = 0;
    const next = spikedValues();
    const folder = writeModel(path.join(dir, 'model'), tinyLlama(), () => ((n += 1) === 2500 ? NaN : next()));
    const recipe = `quant_stage:\n  quant_modifiers:\n    HadamardModifier: {}\n    ${quantizer}\n`;
    const plan = await resolvePlan({ recipe, model: folder, output: path.join(dir, 'out') });
    await assert.rejects(runToCompletion(plan), /lm_head\.weight in .* holds 1 value that is NaN or infinite, the first at flat index 387/);
  }));
