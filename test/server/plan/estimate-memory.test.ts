// The estimate of peak memory against what runs were measured to take: within one and a half times, either way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerPlan, PrunerPlan, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { estimatePlan } from '../../../server/src/plan/estimate-plan.js';
import { weightArgs } from '../../support/layer-plan.js';
import { describedLlama, layersOf, type ModelSizes } from '../../support/plan-inputs.js';

const scheme = (num_bits: number): QuantizationScheme => ({
  weights: weightArgs({ num_bits }),
  input_activations: null,
  output_activations: null,
  format: 'pack-quantized',
});

const small: ModelSizes = { hidden: 64, intermediate: 172, blocks: 5, vocabulary: 512, heads: 8, kvHeads: 4, dtype: 'F32' };
const m512: ModelSizes = { hidden: 512, intermediate: 1408, blocks: 4, vocabulary: 8000, heads: 8, kvHeads: 4, dtype: 'BF16' };
const m1024: ModelSizes = { hidden: 1024, intermediate: 2816, blocks: 2, vocabulary: 32000, heads: 16, kvHeads: 8, dtype: 'BF16' };
const m2048: ModelSizes = { hidden: 2048, intermediate: 5632, blocks: 1, vocabulary: 1000, heads: 16, kvHeads: 16, dtype: 'F32' };
const rows = { samples: 64, tokens: 512, totalTokens: 64 * 512 };

/** Resident size of the worker at its peak, in MB: Linux, glibc, Node 20, 2 cores, 64 texts of 512 tokens. `s260` is stories260K. */
const measured: readonly [
  what: string,
  sizes: ModelSizes,
  quantizer: 'rtn' | 'gptq',
  data: 'none' | 'calibrate' | 'and evaluate',
  mb: number,
][] = [
  ['s260 RTN', small, 'rtn', 'none', 101],
  ['m512 RTN', m512, 'rtn', 'none', 142],
  ['m512 GPTQ', m512, 'gptq', 'calibrate', 474],
  ['m512 GPTQ and perplexity', m512, 'gptq', 'and evaluate', 605],
  ['m1024 RTN', m1024, 'rtn', 'none', 219],
  ['m1024 GPTQ', m1024, 'gptq', 'calibrate', 635],
  ['m1024 GPTQ and perplexity', m1024, 'gptq', 'and evaluate', 855],
  ['m2048 RTN', m2048, 'rtn', 'none', 465],
  ['m2048 GPTQ', m2048, 'gptq', 'calibrate', 1170],
];

const estimate = (
  sizes: ModelSizes,
  quantizer: 'rtn' | 'gptq',
  calibration: typeof rows | null,
  evaluation: typeof rows | null,
  limit = 16e9,
) => {
  const model = describedLlama(sizes);
  const layers = layersOf(model, scheme(quantizer === 'gptq' ? 4 : 8), quantizer);
  return estimatePlan({ model, layers, calibration, evaluation, memoryLimit: limit });
};

for (const [what, sizes, quantizer, data, mb] of measured)
  test(`${what}: measured ${mb} MB`, () => {
    const { peak_memory_bytes } = estimate(sizes, quantizer, data === 'none' ? null : rows, data === 'and evaluate' ? rows : null);
    const ratio = peak_memory_bytes / (mb * 1e6);
    assert.ok(ratio > 0.9 && ratio < 1.5, `${(peak_memory_bytes / 1e6).toFixed(0)} MB, ${ratio.toFixed(2)} times the measured`);
  });

for (const [sizes, n_blocks, mb] of [
  [m512, 2, 418],
  [m1024, 1, 609],
] as const)
  test(`AWQ's search with hidden size ${sizes.hidden}: measured ${mb} MB`, () => {
    const model = describedLlama({ ...sizes, blocks: n_blocks });
    const mappings = Array.from({ length: n_blocks }, (_, block) => `model.layers.${block}`).map((at) => ({
      smooth_layer: `${at}.post_attention_layernorm`,
      balance_layers: [`${at}.mlp.gate_proj`, `${at}.mlp.up_proj`],
      parent: `${at}.mlp`,
      observed: `${at}.mlp.gate_proj`,
    }));
    const { peak_memory_bytes, peak_memory_stage } = estimatePlan({
      model,
      layers: layersOf(model, scheme(4), 'rtn'),
      calibration: rows,
      evaluation: null,
      transforms: [
        { name: 'awq', modifier: 'AWQModifier', recipe_path: [], duo_scaling: true, n_grid: 3, mappings, passed_over: [], clip: null },
      ],
      memoryLimit: 16e9,
    });
    assert.equal(peak_memory_stage, 'searching scales in a block');
    const ratio = peak_memory_bytes / (mb * 1e6);
    assert.ok(ratio > 0.9 && ratio < 1.5, `${(peak_memory_bytes / 1e6).toFixed(0)} MB, ${ratio.toFixed(2)} times the measured`);
  });

test('of a CUDA device: no process and no hidden states, and the parts of a product for 4096 rows, not for all of a document', () => {
  const cudaOf = (dtype: 'BF16' | 'F32', tokens: number, quantizer: 'rtn' | 'gptq' = 'rtn'): number => {
    const model = describedLlama({ ...m2048, dtype });
    const read = { samples: 4, tokens, totalTokens: 4 * tokens };
    const layers = layersOf(model, scheme(4), quantizer);
    const calibration = quantizer === 'gptq' ? read : null;
    return estimatePlan({ model, layers, calibration, evaluation: read, memoryLimit: 64e9 }).cuda.peak_memory_bytes;
  };
  // While a block is evaluated BF16 weights (46.1 M) take half as much as F32's, and the parts of 4096 rows of the widest input 6 · 4096 · 5632 bytes.
  const weights = 4 * 2048 * 2048 + 3 * 2048 * 5632;
  for (const tokens of [4096, 8192, 65_536])
    assert.equal(cudaOf('F32', tokens) - cudaOf('BF16', tokens), 2 * weights - 6 * 4096 * 5632, `${tokens} tokens`);
  assert.ok(cudaOf('F32', 4096) < estimate(m2048, 'rtn', null, { ...rows, tokens: 4096, totalTokens: 4 * 4096 }).peak_memory_bytes);
  // Hessians of 2048 and 5632 columns, and the sum of one with the parts of its rows.
  assert.ok(cudaOf('F32', 4096, 'gptq') - cudaOf('F32', 4096) > 4 * (3 * 2048 ** 2 + 2 * 5632 ** 2) + 4 * 4096 * 5632 - 1);
});

test('of a CUDA device: ranges of cells and the k-means of vectors, as test/native/scratch-test.cc has them', () => {
  const model = describedLlama(m2048);
  const cudaOf = (weights: NonNullable<QuantizationScheme['weights']>, quantizer?: LayerPlan['quantizer']): number => {
    const layers = layersOf(model, { ...scheme(4), weights }, 'rtn').map((layer) =>
      quantizer && layer.quantizer ? { ...layer, quantizer } : layer,
    );
    return estimatePlan({ model, layers, calibration: null, evaluation: null, memoryLimit: 64e9 }).cuda.peak_memory_bytes;
  };
  const widest = 2048 * 5632;
  // What is stored of 16 columns is a scale of 4 bytes more, in all layers of the block, and a cell takes 36 bytes of one; small blocks count twice.
  const groups = (group_size: number) => weightArgs({ num_bits: 4, strategy: 'group', group_size });
  assert.ok(cudaOf(groups(16)) - cudaOf(groups(128)) >= 36 * widest * (1 / 16 - 1 / 128));
  const vectors = {
    vector_len: 1,
    num_centroids: 16,
    num_res_centroids: 0,
    group_num: 1,
    outlier_size: 0,
    outlier_vector_len: 4,
    outlier_num_centroids: 0,
    enable_norm: true,
    enable_perm: false,
  };
  const vptq: LayerPlan['quantizer'] = {
    name: 'vptq',
    modifier: 'VPTQModifier',
    recipe_path: [] as string[],
    enable_perm: false,
    kiter: 100,
    ktol: 0,
    kseed: 0,
    block_size: 128,
    dampening_frac: 0.01,
  };
  const ofVectors = (vector_len: number) =>
    cudaOf({ ...weightArgs({ num_bits: 4 }), codebook: 'vptq', vectors: { ...vectors, vector_len } }, vptq);
  // Of weights one by one the k-means takes 28 bytes each; of pairs it takes 16, and other solvers 20. What is stored of all seven layers is 2 bits less each.
  const more = ofVectors(1) - ofVectors(2);
  assert.ok(more >= 8 * widest && more < 10 * widest, `${more} bytes`);
});

test('a process that does nothing much takes what Node and the addon take', () => {
  assert.ok(estimate(small, 'rtn', null, null).peak_memory_bytes > 100e6);
});

test('more rows, wider layers and longer documents never take less', () => {
  const peak = (sizes: ModelSizes, calibration: typeof rows, limit?: number): number =>
    estimate(sizes, 'gptq', calibration, null, limit).peak_memory_bytes;
  const usual = peak(m512, rows);
  assert.ok(peak(m512, { ...rows, totalTokens: 2 * rows.totalTokens }) > usual);
  assert.ok(peak(m512, { ...rows, tokens: 16_384, totalTokens: 32_768 }) > usual);
  assert.ok(peak({ ...m512, intermediate: 4096 }, rows) > usual);
});

test('hidden states beyond 40 % of the memory go to files, so rows alone cannot exceed it', () => {
  const many = { samples: 1e6, tokens: 2048, totalTokens: 2e9 };
  const { peak_memory_bytes } = estimate({ ...m512, hidden: 4096 }, 'gptq', many, null, 64e9);
  // 24 bytes for each of the 2e9 tokens stay.
  assert.ok(peak_memory_bytes < 0.4 * 64e9 * 2.2 + 24 * 2e9 + 10e9);
});

test('each stage is named in words that follow "while"', () => {
  assert.equal(estimate(m512, 'rtn', null, null).peak_memory_stage, 'quantizing a block');
  assert.equal(estimate(m512, 'gptq', rows, null).peak_memory_stage, 'calibrating a block');
  assert.equal(estimate(m2048, 'gptq', rows, null).peak_memory_stage, 'quantizing a block');
  const model = describedLlama(m512);
  const layers = layersOf(model, scheme(4), 'rtn').map((layer) => ({ ...layer, scheme: null, quantizer: null }));
  const pruning = [{ layers }] as unknown as PrunerPlan[];
  const pruned = estimatePlan({ model, layers, calibration: null, evaluation: null, pruning, memoryLimit: 16e9 });
  assert.equal(pruned.peak_memory_stage, 'pruning a block');
  assert.equal(estimate({ ...m512, vocabulary: 200_000 }, 'gptq', rows, rows).peak_memory_stage, 'evaluating the head');
});

test('a run that gives up what it can takes less, and never more; generating holds the whole model and keys and values of its prompts', () => {
  for (const [sizes, quantizer] of [
    [m512, 'gptq'],
    [m1024, 'gptq'],
    [m2048, 'rtn'],
  ] as const) {
    const { peak_memory_bytes, least_memory_bytes } = estimate(sizes, quantizer, rows, rows);
    assert.ok(least_memory_bytes <= peak_memory_bytes && least_memory_bytes > 100e6);
  }
  const model = describedLlama(m1024);
  const generation = { questions: 200, tokens: 2048 };
  const input = { model, layers: layersOf(model, scheme(8), 'rtn'), calibration: null, evaluation: null, memoryLimit: 16e9 };
  const { peak_memory_bytes, peak_memory_stage, least_memory_bytes } = estimatePlan({ ...input, generation });
  assert.equal(peak_memory_stage, 'generating');
  // 2 blocks of 8 heads of 64 numbers, K and V in F32, 64 prompts together.
  assert.ok(peak_memory_bytes > estimatePlan(input).weights_bytes_before + 64 * 8 * 2 * 8 * 64 * 2048);
  assert.ok(least_memory_bytes < peak_memory_bytes - 63 * 8 * 2 * 8 * 64 * 2048);
});
