// Whole runs that prune: the zeros are in the file, alone and under every quantizer that keeps them, and the bytes do not depend on threads or devices.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { offsetsOf } from '../../../worker/src/jobs/outlier-sparsity.js';
import { repositoryRoot } from '../../support/shared.js';
import { writeTinyLlama } from '../../support/tiny-llama-folder.js';
import {
  assertSameTensors,
  inTemporaryFolder,
  readTensors,
  resolvePlan,
  runToCompletion,
  type StoredTensor,
} from '../../support/worker-run.js';

const rows = Array.from({ length: 12 }, (_, row) => Array.from({ length: 16 }, (_, i) => (7 * row + 5 * i * (row % 3)) % 30));
const recipeOf = (modifiers: readonly string[]): string =>
  `quant_stage:\n  quant_modifiers:\n${modifiers.map((one) => `    ${one}\n`).join('')}`;
const where = "targets: [Linear], ignore: ['re:.*lm_head']";

interface Wish {
  name: string;
  modifiers: readonly string[];
  threads?: number;
  devices?: number;
  kind?: 'cpu' | 'cuda';
  model?: string;
}

async function prune(
  dir: string,
  { name, modifiers, model = path.join(dir, 'model'), ...wish }: Wish,
): Promise<{ report: RunReport; tensors: Map<string, StoredTensor> }> {
  writeTinyLlama(path.join(dir, 'model'), 'random');
  const dataset = path.join(dir, 'rows.jsonl');
  writeFileSync(dataset, rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
  const plan = await resolvePlan({ recipe: recipeOf(modifiers), model, output: path.join(dir, name), calibration: { dataset } });
  const { report } = await runToCompletion(plan, wish);
  return { report, tensors: await readTensors(path.join(dir, name, 'model.safetensors')) };
}

/** Of a dense weight, as F32 or BF16 bits; codes of a packed one are looked at by the report, which reads them back. */
function zeroShare({ dtype, bytes }: StoredTensor): number {
  const width = dtype === 'F32' ? 4 : 2;
  const count = bytes.length / width;
  let zeros = 0;
  for (let i = 0; i < count; i += 1)
    zeros += Number(bytes.subarray(i * width, (i + 1) * width).every((byte, at) => (at === width - 1 ? byte & 0x7f : byte) === 0));
  return zeros / count;
}

for (const [what, modifier, share] of [
  ['SparseGPT, half', `SparseGPTModifier: {sparsity: 0.5, ${where}}`, 0.5],
  ['SparseGPT, 2:4', `SparseGPTModifier: {sparsity: 0.5, mask_structure: '2:4', ${where}}`, 0.5],
  ['Wanda, a quarter', `WandaPruningModifier: {sparsity: 0.25, ${where}}`, 0.25],
  ['magnitude, three quarters', "MagnitudePruningModifier: {targets: ['re:.*_proj'], init_sparsity: 0, final_sparsity: 0.75}", 0.75],
] as const)
  test(`${what}: dense tensors of the same size with the zeros that were asked for, the rest of the model as it was`, () =>
    inTemporaryFolder(async (dir) => {
      const { report, tensors } = await prune(dir, { name: 'out', modifiers: [modifier] });
      const before = await readTensors(path.join(dir, 'model', 'model.safetensors'));
      assert.deepEqual([...tensors.keys()].sort(), [...before.keys()].sort());
      for (const [name, tensor] of tensors) {
        const known = before.get(name)!;
        assert.deepEqual([tensor.dtype, tensor.shape], [known.dtype, known.shape], name);
        if (!name.includes('_proj')) assert.ok(tensor.bytes.equals(known.bytes), name);
        else assert.ok(Math.abs(zeroShare(tensor) - share) < 0.01, `${name}: ${zeroShare(tensor)}`);
      }
      assert.deepEqual(
        JSON.parse(readFileSync(path.join(dir, 'out', 'config.json'), 'utf8')),
        JSON.parse(readFileSync(path.join(dir, 'model', 'config.json'), 'utf8')),
      );
      assert.ok(report.layers.length > 0);
      for (const layer of report.layers) {
        assert.ok(Math.abs((layer.pruning?.sparsity ?? 0) - share) < 0.01, layer.name);
        assert.equal(layer.pruning?.asked, share);
        assert.equal(layer.num_bits, null);
        if (!modifier.startsWith('Magnitude')) assert.ok((layer.relative_output_error ?? 0) > 0, layer.name);
      }
      if (modifier.startsWith('SparseGPT')) assert.ok(report.layers.every(({ dampening_frac }) => dampening_frac === 0.01));
    }));

const quantizers = {
  'RTN symmetric':
    'QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, symmetric: true, strategy: channel}}}}',
  'RTN asymmetric':
    'QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, symmetric: false, strategy: channel}}}}',
  HQQ: 'HQQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, symmetric: false, strategy: channel}}}}',
  'FP8 GPTQ':
    'GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, type: float, strategy: channel}}}}',
  'GPTQ in order':
    'GPTQModifier: {actorder: null, ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, symmetric: false, strategy: channel}}}}',
  'GPTQ by activations':
    'GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, symmetric: true, strategy: group, group_size: 8, actorder: group}}}}',
  COMQ: 'COMQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, symmetric: false, strategy: channel}}}}',
  GPFQ: 'GPFQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, symmetric: false, strategy: channel}}}}',
  Qronos:
    'QronosModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, symmetric: true, strategy: group, group_size: 8}}}}',
};

for (const [quantizer, second] of Object.entries(quantizers))
  for (const first of [
    `SparseGPTModifier: {sparsity: 0.5, mask_structure: '2:4', ${where}}`,
    `WandaPruningModifier: {sparsity: 0.5, ${where}}`,
  ])
    test(`${first.slice(0, first.indexOf(':'))}, then ${quantizer}: what became zero is zero in the file`, () =>
      inTemporaryFolder(async (dir) => {
        const { report } = await prune(dir, { name: 'out', modifiers: [first, second] });
        for (const layer of report.layers) {
          assert.ok((layer.pruning?.sparsity ?? 0) >= 0.5 - 1e-9, `${layer.name}: ${layer.pruning?.sparsity}`);
          assert.ok(layer.quantizer !== null && layer.num_bits !== null, layer.name);
        }
        assert.deepEqual(
          report.problems.filter(({ code }) => code === 'sparsity-not-reached'),
          [],
        );
      }));

test('one walk for both loses less than rounding what SparseGPT left, and than a walk for each', { timeout: 120_000 }, () =>
  inTemporaryFolder(async (dir) => {
    const example = path.join(repositoryRoot, 'examples');
    const errorOf = async (name: string, quantizer: string, more: string): Promise<number> => {
      const scheme =
        'ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 3, symmetric: true, strategy: channel}}}';
      const plan = await resolvePlan({
        recipe: recipeOf([`SparseGPTModifier: {sparsity: 0.5, mask_structure: '2:4', ${where}}`, `${quantizer}: {${more}${scheme}}`]),
        model: path.join(example, 'models', 'stories-and-sums-1m'),
        output: path.join(dir, name),
        calibration: { dataset: path.join(example, 'data', 'calibration.jsonl'), num_calibration_samples: 64, max_seq_length: 256 },
      });
      const { report } = await runToCompletion(plan);
      return report.layers.reduce((sum, { relative_output_error }) => sum + (relative_output_error ?? NaN), 0);
    };
    const joint = await errorOf('joint', 'GPTQModifier', 'actorder: null, ');
    for (const [name, quantizer, more] of [
      ['apart', 'GPTQModifier', 'actorder: static, '],
      ['rounded', 'QuantizationModifier', ''],
    ] as const) {
      const other = await errorOf(name, quantizer, more);
      assert.ok(joint < other, `${joint} against ${other}, ${name}`);
    }
  }),
);

test('ConstantPruningModifier keeps the zeros of a pruned model through GPTQ, which fills them without it', () =>
  inTemporaryFolder(async (dir) => {
    await prune(dir, { name: 'sparse', modifiers: [`WandaPruningModifier: {sparsity: 0.5, ${where}}`] });
    const model = path.join(dir, 'sparse');
    const gptq = quantizers['GPTQ in order'];
    const sparse = await prune(dir, { name: 'kept', model, modifiers: ["ConstantPruningModifier: {targets: ['re:.*_proj']}", gptq] });
    for (const { name, pruning } of sparse.report.layers) {
      assert.ok(pruning && pruning.sparsity >= pruning.sparsity_before && pruning.sparsity_before > 0.49, name);
      assert.equal(pruning.asked, null);
    }
    const dense = await prune(dir, { name: 'filled', model, modifiers: [gptq] });
    assert.ok(dense.report.layers.every(({ pruning }) => pruning === undefined));
    const errors = (report: RunReport): number => report.layers.reduce((sum, layer) => sum + (layer.relative_output_error ?? NaN), 0);
    assert.ok(errors(dense.report) < errors(sparse.report), 'without the mask more weights are free');
  }));

test('the bytes are those of one thread and one device, and the emulated CUDA device chooses the same zeros', () =>
  inTemporaryFolder(async (dir) => {
    for (const [index, modifiers] of [
      [`SparseGPTModifier: {sparsity: 0.5, ${where}}`],
      [`SparseGPTModifier: {mask_structure: '2:4', sparsity: 0.5, ${where}}`, quantizers['GPTQ in order']],
      [`WandaPruningModifier: {sparsity: 0.4, ${where}}`],
    ].entries()) {
      const one = await prune(dir, { name: `one-${index}`, modifiers, threads: 1 });
      const many = await prune(dir, { name: `many-${index}`, modifiers, threads: 3 });
      assertSameTensors(many.tensors, one.tensors);
      const cuda = await prune(dir, { name: `cuda-${index}`, modifiers, kind: 'cuda' });
      for (const [at, layer] of cuda.report.layers.entries())
        assert.ok(Math.abs((layer.pruning?.sparsity ?? 0) - (one.report.layers[at]?.pruning?.sparsity ?? 1)) < 0.01, layer.name);
    }
  }));

test('OWL: blocks with more outliers lose less, and the mean is what was asked', () =>
  inTemporaryFolder(async (dir) => {
    const owl = 'sparsity_profile: owl, owl_m: 3, owl_lmbda: 0.1';
    const { report } = await prune(dir, { name: 'out', modifiers: [`WandaPruningModifier: {sparsity: 0.5, ${owl}, ${where}}`] });
    const byBlock = new Map<number, number[]>();
    for (const { block, pruning } of report.layers) byBlock.set(block ?? -1, [...(byBlock.get(block ?? -1) ?? []), pruning?.asked ?? NaN]);
    const asked = [...byBlock.values()].map((shares) => {
      assert.equal(new Set(shares).size, 1, 'one sparsity for a block');
      return shares[0] ?? NaN;
    });
    assert.ok(Math.abs(asked.reduce((sum, share) => sum + share, 0) / asked.length - 0.5) < 1e-9, asked.join(' '));
    assert.ok(Math.abs(Math.max(...asked) - Math.min(...asked) - 0.2) < 1e-9, asked.join(' '));
    assert.ok(report.layers.every(({ pruning }) => pruning && Math.abs(pruning.sparsity - (pruning.asked ?? NaN)) < 0.02));
  }));

test('OWL by its formula; blocks that are all alike keep what is asked', () => {
  const offsets = offsetsOf(
    new Map([
      [0, 2],
      [1, 6],
      [2, 4],
    ]),
    0.08,
  );
  assert.deepEqual(
    [...offsets].map(([block, value]) => [block, Math.round(value * 1e9) / 1e9]),
    [
      [0, -0.08],
      [1, 0.08],
      [2, 0],
    ],
  );
  assert.deepEqual(
    offsetsOf(
      new Map([
        [0, 3],
        [1, 3],
      ]),
      0.08,
    ),
    new Map(),
  );
});

test('a head that is pruned is parted from its embedding', () =>
  inTemporaryFolder(async (dir) => {
    writeTinyLlama(path.join(dir, 'model'), 'random');
    const { tensors } = await prune(dir, { name: 'out', modifiers: ['WandaPruningModifier: {sparsity: 0.5, targets: [lm_head]}'] });
    const head = tensors.get('lm_head.weight');
    assert.ok(head);
    assert.ok(Math.abs(zeroShare(head) - 0.5) < 0.02);
    assert.ok(zeroShare(tensors.get('model.embed_tokens.weight')!) < 0.1);
  }));
