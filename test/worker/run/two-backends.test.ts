// The same recipe on the processor and on the (emulated) CUDA backend, from the text to the perplexity of the written file.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { RunReport } from '../../../schemas/src/generated/report.js';
import { repositoryRoot } from '../../support/shared.js';
import { inTemporaryFolder, readTensors, resolvePlan, runToCompletion, type StoredTensor } from '../../support/worker-run.js';

const example = (...parts: string[]): string => path.join(repositoryRoot, 'examples', ...parts);

type Likeness = 'exact' | 'close' | 'chaotic' | 'drifting' | 'corrected';

const solverOf = (modifier: string, bits: number, grid: string, options = ''): string =>
  `{${modifier}: {${options}ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: ${bits}, type: int, ${grid}}}}}}`;

/**
 * exact: rounding needs no sum whose order a backend may choose, so that the checkpoints have the same bytes. chaotic: GPTQ spreads every rounding error, so
 * a code that falls the other way changes all behind it in its row; the layers of this model are too small to even that out, their mean does. drifting:
 * besides, blocks behind the first have inputs that differ by that already; the first block alone is compared layer by layer. corrected: so have the
 * linears of a block behind its q, k and v, as it is observed as far as it is quantized, and error correction aims elsewhere.
 */
const recipes: Record<string, { modifiers: string; likeness: Likeness }> = {
  'AWQ, 4 bits with zero points': {
    modifiers:
      '{AWQModifier: {n_grid: 4, duo_scaling: true}, QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, symmetric: false, strategy: group, group_size: 32}}}}}',
    likeness: 'close',
  },
  FP8_DYNAMIC: { modifiers: '{QuantizationModifier: {ignore: [lm_head], scheme: FP8_DYNAMIC, targets: [Linear]}}', likeness: 'exact' },
  FP8_BLOCK: { modifiers: '{QuantizationModifier: {ignore: [lm_head], scheme: FP8_BLOCK, targets: [Linear]}}', likeness: 'exact' },
  NVFP4: { modifiers: '{QuantizationModifier: {ignore: [lm_head], scheme: NVFP4, targets: [Linear]}}', likeness: 'close' },
  MXFP4: { modifiers: '{QuantizationModifier: {ignore: [lm_head], scheme: MXFP4, targets: [Linear]}}', likeness: 'exact' },
  'NVFP4A16 by GPTQ': { modifiers: '{GPTQModifier: {ignore: [lm_head], scheme: NVFP4A16, targets: [Linear]}}', likeness: 'chaotic' },
  'COMQ, 4 bits, a scale per channel': { modifiers: solverOf('COMQModifier', 4, 'strategy: channel'), likeness: 'chaotic' },
  'Beacon, 4 bits with zero points, a scale per channel': {
    modifiers: solverOf('BeaconModifier', 4, 'symmetric: false, strategy: channel'),
    likeness: 'drifting',
  },
  'Beacon with error correction, 4 bits in groups': {
    modifiers: solverOf('BeaconModifier', 4, 'strategy: group, group_size: 32', 'error_correction: true, '),
    likeness: 'corrected',
  },
  'GPFQ with error correction, 4 bits in groups': {
    modifiers: solverOf('GPFQModifier', 4, 'strategy: group, group_size: 32'),
    likeness: 'corrected',
  },
  'Qronos, 4 bits with zero points': {
    modifiers: solverOf('QronosModifier', 4, 'symmetric: false, strategy: group, group_size: 32'),
    likeness: 'corrected',
  },
};

interface Outcome {
  report: RunReport;
  tensors: Map<string, StoredTensor>;
}

/** The first rows of a text of the examples. */
function someRows(dir: string, name: string, n: number): string {
  const file = path.join(dir, name);
  const lines = readFileSync(example('data', name), 'utf8').split('\n').slice(0, n);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

/** Few tokens, and no error through depth, which has both backends in test/worker/evaluate/error-depth.test.ts: the emulation takes its time. */
async function outcomeOn(kind: 'cpu' | 'cuda', dir: string, modifiers: string, isCalibrated: boolean): Promise<Outcome> {
  const output = path.join(dir, kind);
  const dataset = someRows(dir, 'calibration.jsonl', 6);
  const plan = await resolvePlan({
    recipe: `quant_stage:\n  quant_modifiers: ${modifiers}\n`,
    model: example('models', 'stories-and-sums-1m'),
    output,
    ...(isCalibrated ? { calibration: { dataset, text_column: 'text', num_calibration_samples: 6, max_seq_length: 64 } } : {}),
    evaluate: { dataset: someRows(dir, 'validation.jsonl', 3), max_seq_length: 64 },
  });
  delete plan.depth;
  const { report } = await runToCompletion(plan, { kind });
  return { report, tensors: await readTensors(path.join(output, 'model.safetensors')) };
}

const errors = ['weight_mse', 'relative_output_error'] as const;

/** Every layer's errors, or their sums over all layers. */
function assertLikeErrors(cpu: RunReport, cuda: RunReport, boundOf: (name: string) => number): void {
  assert.ok(cpu.layers.length >= 28, `${cpu.layers.length} layers`);
  assert.deepEqual(
    cuda.layers.map(({ name }) => name),
    cpu.layers.map(({ name }) => name),
  );
  for (const key of errors)
    for (const [i, layer] of cpu.layers.entries()) {
      const [expected, value] = [layer[key], cuda.layers[i]?.[key] ?? null];
      if (expected === null || value === null) assert.equal(value, expected, `${key} of ${layer.name}`);
      else
        assert.ok(Math.abs(value / expected - 1) <= boundOf(layer.name), `${key} of ${layer.name}: ${value}, on the processor ${expected}`);
    }
}

function assertLikeSums(cpu: RunReport, cuda: RunReport, bound: number): void {
  for (const key of errors) {
    const sum = ({ layers }: RunReport): number => layers.reduce((total, layer) => total + (layer[key] ?? 0), 0);
    const [expected, value] = [sum(cpu), sum(cuda)];
    assert.ok(Math.abs(value - expected) <= bound * expected, `${key} of all layers: ${value}, on the processor ${expected}`);
  }
}

const titles = {
  exact: 'the same bytes, layer errors equal to 1e-4, perplexity to 0.2 %',
  close: 'layer errors equal to 1 %, perplexity to 0.2 %',
  chaotic: 'layer errors equal to 1 % in the mean, perplexity to 1 %',
  drifting: 'layer errors of the first block equal to 1 %, of all to 5 % in the mean, perplexity to 1 %',
  corrected: 'layer errors of the first q, k and v equal to 1 %, of all to 5 % in the mean, perplexity to 1 %',
};

/** Of a layer's errors, of their sum, and of the perplexity. */
const bounds: Readonly<Record<Likeness, { layer: (name: string) => number; sum: number; perplexity: number }>> = {
  exact: { layer: () => 1e-4, sum: 0.01, perplexity: 0.002 },
  close: { layer: () => 0.01, sum: 0.01, perplexity: 0.002 },
  chaotic: { layer: () => 0.1, sum: 0.01, perplexity: 0.01 },
  drifting: { layer: (name) => (name.startsWith('model.layers.0.') ? 0.01 : 0.3), sum: 0.05, perplexity: 0.01 },
  corrected: {
    layer: (name) => (/\.layers\.0\..*\.[qkv]_proj$/.test(name) ? 0.01 : name.startsWith('model.layers.0.') ? 0.1 : 0.3),
    sum: 0.05,
    perplexity: 0.01,
  },
};

// The emulation of a device is one thread: two of them side by side.
describe('the processor and CUDA', { concurrency: 2 }, () => {
  for (const [name, { modifiers, likeness }] of Object.entries(recipes))
    test(`${name}: ${titles[likeness]}`, () =>
      inTemporaryFolder(async (dir) => {
        const isCalibrated = likeness !== 'exact';
        const cpu = await outcomeOn('cpu', dir, modifiers, isCalibrated);
        const cuda = await outcomeOn('cuda', dir, modifiers, isCalibrated);
        assert.equal(cuda.report.device.kind, 'cuda');
        assertLikeErrors(cpu.report, cuda.report, bounds[likeness].layer);
        assertLikeSums(cpu.report, cuda.report, bounds[likeness].sum);
        const [expected, perplexity] = [cpu, cuda].map(({ report }) => report.quality?.after?.perplexity ?? NaN) as [number, number];
        assert.ok(
          Math.abs(perplexity / expected - 1) <= bounds[likeness].perplexity,
          `perplexity ${perplexity}, on the processor ${expected}`,
        );
        if (likeness === 'exact')
          for (const [tensor, { bytes }] of cpu.tensors)
            assert.ok(cuda.tensors.get(tensor)?.bytes.equals(bytes), `the bytes of ${tensor} differ`);
      }));
});
