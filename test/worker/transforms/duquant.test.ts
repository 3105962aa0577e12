// DuQuant's rotations: the model computes the same to 1e-4 of its largest logit, blocks become even, zigzag balances, and what breaks the assumptions is told.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { rotateModel, rotationOf } from '../../../worker/src/jobs/rotate-model.js';
import { MemoryGovernor } from '../../../worker/src/memory/memory-governor.js';
import { RunContext } from '../../../worker/src/run-context.js';
import { seededRandom } from '../../../worker/src/random-numbers.js';
import { greedyRotation, zigzag } from '../../../worker/src/transforms/duquant.js';
import { correctedRun, manyRows, told } from '../../support/corrected-run.js';
import { describedModel, forwardPass } from '../../support/forward-pass.js';
import { tinyLlama, writeModel, type TinyModel } from '../../support/model-fixture.js';
import { withDevice } from '../../support/native-device.js';
import { spikedValues } from '../../support/random.js';
import { inTemporaryFolder, resolvePlan } from '../../support/worker-run.js';

const quantizer =
  'QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, type: int, strategy: channel}}}}';
const rows = manyRows.map((row) => row.map((id) => id % 32));
const documents = [Int32Array.from({ length: 24 }, (_, i) => (7 * i + 3) % 32), Int32Array.from({ length: 9 }, (_, i) => (5 * i) % 32)];

/** Largest difference of the logits before and after, as a part of the largest logit. */
const change = (model: TinyModel, modifier: string, kind: 'cpu' | 'cuda' = 'cpu'): Promise<number> =>
  inTemporaryFolder(async (dir) => {
    const folder = writeModel(path.join(dir, 'model'), model, spikedValues());
    const dataset = path.join(dir, 'rows.jsonl');
    writeFileSync(dataset, rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
    const recipe = `quant_stage:\n  quant_modifiers:\n    ${modifier}\n    ${quantizer}\n`;
    const plan = await resolvePlan({
      recipe,
      model: folder,
      output: path.join(dir, 'out'),
      calibration: { dataset, num_calibration_samples: 6 },
    });
    const rotation = rotationOf(plan);
    assert.ok(rotation?.name === 'duquant', 'the plan has a rotation');
    return withDevice(
      async (device) => {
        const facts = { kind, name: 'test', threads: 2 };
        const context = new RunContext(plan, [device], facts, path.join(dir, 'run'), 'test', () => undefined, 'run-1');
        const rotated = await rotateModel(context, rotation, new MemoryGovernor(context.devices, () => undefined));
        const logits = async (at: string): Promise<Float32Array> => (await forwardPass(device, await describedModel(at), documents)).logits;
        const [before, after] = [await logits(folder), await logits(rotated.dir)];
        const largest = before.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        assert.ok(largest > 0.01, `logits up to ${largest}`);
        const changed = !readFileSync(path.join(rotated.dir, 'model.safetensors')).equals(
          readFileSync(path.join(folder, 'model.safetensors')),
        );
        assert.ok(changed, 'the weights are others');
        return before.reduce((most, value, i) => Math.max(most, Math.abs(value - after[i]!)), 0) / largest;
      },
      2,
      kind,
    );
  });

const biased = (): TinyModel => {
  const model = tinyLlama({ config: { attention_bias: true, mlp_bias: true } });
  const tensors = { ...model.tensors };
  for (const [name, shape] of Object.entries(model.tensors))
    if (/_proj\.weight$/.test(name)) tensors[name.replace(/weight$/, 'bias')] = [shape[0]!];
  return { ...model, tensors };
};

const tied = (): TinyModel => {
  const model = tinyLlama({ config: { tie_word_embeddings: true } });
  const { 'lm_head.weight': _head, ...tensors } = model.tensors;
  return { ...model, tensors };
};

const cases: readonly [string, TinyModel, string][] = [
  ['heads that share values, one block', tinyLlama(), 'DuQuantModifier: {}'],
  ['blocks of 16 with a permutation between two rotations', tinyLlama(), 'DuQuantModifier: {block_size: 16}'],
  ['blocks of 16 without a permutation', tinyLlama(), 'DuQuantModifier: {block_size: 16, permutation: false}'],
  ['only R1', tinyLlama(), 'DuQuantModifier: {rotations: [r1], block_size: 8, permutation: false}'],
  ['only R2', tinyLlama(), 'DuQuantModifier: {rotations: [R2], permutation: false}'],
  ['only the permutation of the intermediate channels', tinyLlama(), 'DuQuantModifier: {rotations: [], block_size: 32}'],
  ['hidden size 96, heads of 12', tinyLlama({ hidden: 96, keyValues: 48 }), 'DuQuantModifier: {block_size: 24}'],
  ['a tied head', tied(), 'DuQuantModifier: {block_size: 32, seed: 5}'],
  ['biases of all linears', biased(), 'DuQuantModifier: {block_size: 16}'],
];

for (const [name, model, modifier] of cases)
  test(`the model computes the same: ${name}`, async () => {
    const changed = await change(model, modifier);
    assert.ok(changed < 1e-4, `logits change by ${changed} of the largest`);
  });

test('the same on the emulated CUDA backend', async () => {
  const changed = await change(tinyLlama(), 'DuQuantModifier: {block_size: 16}', 'cuda');
  assert.ok(changed < 1e-4, `logits change by ${changed} of the largest`);
});

/** Σ xᵀx of a few vectors, the channels of very different strength. */
function someHessian(b: number, seed: number): Float64Array {
  const random = seededRandom(seed);
  const X = Array.from({ length: 4 * b }, () => Array.from({ length: b }, (_, i) => (random() - 0.4) * (i % 13 === 5 ? 30 : 1)));
  return Float64Array.from({ length: b * b }, (_, k) => X.reduce((sum, x) => sum + x[Math.floor(k / b)]! * x[k % b]!, 0));
}

test('a greedy rotation is orthogonal and leaves no strong channel', () => {
  for (const b of [1, 2, 24, 64]) {
    const H = someHessian(b, b);
    const { R, before, after } = greedyRotation(H, b, 256, seededRandom(1));
    let trace = 0;
    for (let i = 0; i < b; i += 1) {
      trace += H[i * b + i]!;
      for (let j = 0; j < b; j += 1) {
        let product = 0;
        for (let k = 0; k < b; k += 1) product += R[i * b + k]! * R[j * b + k]!;
        assert.ok(Math.abs(product - (i === j ? 1 : 0)) < 1e-12, `${b}: ${i} ${j}`);
      }
    }
    const power = Array.from({ length: b }, (_, c) => {
      let sum = 0;
      for (let i = 0; i < b; i += 1) for (let j = 0; j < b; j += 1) sum += R[i * b + c]! * H[i * b + j]! * R[j * b + c]!;
      return sum;
    });
    assert.ok(Math.abs(Math.max(...power) - after) < 1e-9 * trace, `the strongest channel of ${b} is ${Math.max(...power)}, told ${after}`);
    if (b > 2) assert.ok(after < 0.35 * before && after < 3 * (trace / b), `${b}: ${before} became ${after}, the mean is ${trace / b}`);
  }
});

test('zeros, one channel and one vector: a rotation all the same', () => {
  const zeros = greedyRotation(new Float64Array(16), 4, 10, seededRandom(1));
  assert.deepEqual([zeros.before, zeros.after], [0, 0]);
  assert.deepEqual([...zeros.R], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
  // All the power in one channel: one step makes it even.
  const lone = new Float64Array(64);
  lone[2 * 8 + 2] = 8;
  const { after } = greedyRotation(lone, 8, 256, seededRandom(3));
  assert.ok(Math.abs(after - 1) < 1e-12, `${after}`);
});

test('zigzag deals strong channels out to all blocks', () => {
  assert.deepEqual([...zigzag([9, 8, 7, 6, 5, 4, 3, 2], 2)], [0, 7, 1, 6, 2, 5, 3, 4]);
  const power = Float64Array.from({ length: 172 }, (_, i) => 1 / (1 + ((i * 37) % 172)));
  const dealt = zigzag(power, 32);
  assert.deepEqual(
    [...dealt].sort((a, b) => a - b),
    [...power.keys()],
  );
  const blocks = (order: ArrayLike<number>): number[] =>
    Array.from({ length: 5 }, (_, block) =>
      Array.from({ length: 32 }, (_, i) => power[order[32 * block + i]!]!).reduce((a, b) => a + b, 0),
    );
  const sorted = [...power.keys()].sort((a, b) => power[b]! - power[a]!);
  assert.ok(Math.max(...blocks(dealt)) < 0.5 * Math.max(...blocks(sorted)));
});

test('a run: matrices stand out less, and two runs write the same bytes', () =>
  inTemporaryFolder(async (dir) => {
    const bytes: Buffer[] = [];
    for (const at of ['a', 'b']) {
      const { ended, report } = await correctedRun(path.join(dir, at), {
        modifiers: `DuQuantModifier: {block_size: 16}\n${quantizer}`,
        write: (model) => void writeModel(model, tinyLlama(), spikedValues()),
        rows,
        threads: at === 'a' ? 1 : 3,
      });
      assert.equal(ended.outcome, 'completed', ended.failure?.message);
      assert.deepEqual(told(report), []);
      assert.equal(report?.rotations?.length, 16);
      bytes.push(readFileSync(path.join(dir, at, 'out', 'model.safetensors')));
    }
    assert.ok(bytes[0]!.equals(bytes[1]!));
  }));

test('one token, a constant channel and a dead one', () =>
  inTemporaryFolder(async (dir) => {
    const { ended } = await correctedRun(dir, {
      modifiers: `DuQuantModifier: {block_size: 16}\n${quantizer}`,
      rows: [[3]],
      change: (tensor, i) => (tensor === 'model.embed_tokens.weight' && i % 64 < 2 ? i % 64 : undefined),
    });
    assert.equal(ended.outcome, 'completed', ended.failure?.message);
  }));

test('hidden states that are not finite end the run with their name', () =>
  inTemporaryFolder(async (dir) => {
    const { ended } = await correctedRun(dir, {
      modifiers: `DuQuantModifier: {}\n${quantizer}`,
      change: (tensor, i) =>
        tensor === 'model.layers.0.mlp.down_proj.weight' && i === 0
          ? 3e38
          : tensor === 'model.layers.0.mlp.up_proj.weight'
            ? 1e30
            : undefined,
    });
    assert.equal(ended.outcome, 'failed');
    assert.match(ended.failure?.message ?? '', /NaN or infinite/);
  }));
