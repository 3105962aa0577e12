// Memory is estimated from one block of each kind: the figures are those of all blocks, and the work does not grow with their number.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerPlan, ModelDescription, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { layersOfDistinctBlocks } from '../../../server/src/plan/distinct-blocks.js';
import { analysisNeeds } from '../../../server/src/plan/estimate-analysis.js';
import { leastMemoryStages, memoryStages } from '../../../server/src/plan/estimate-memory.js';
import { weightArgs } from '../../support/layer-plan.js';
import { describedLlama, layersOf, type ModelSizes } from '../../support/plan-inputs.js';

const scheme = (num_bits: number): QuantizationScheme => ({
  weights: weightArgs({ num_bits }),
  input_activations: null,
  output_activations: null,
  format: 'pack-quantized',
});
const sizes = (blocks: number): ModelSizes => ({
  hidden: 512,
  intermediate: 1408,
  blocks,
  vocabulary: 8000,
  heads: 8,
  kvHeads: 4,
  dtype: 'BF16',
});
/** As the server assigns them: a modifier has one quantizer. */
function layersOfOne(model: ModelDescription, of: QuantizationScheme): LayerPlan[] {
  const layers = layersOf(model, of, 'gptq');
  const quantizer = layers.find((layer) => layer.quantizer !== null)?.quantizer ?? null;
  return layers.map((layer) => (layer.quantizer === null ? layer : { ...layer, quantizer }));
}

const rows = { samples: 16, tokens: 512, totalTokens: 16 * 512 };
const none: ReadonlySet<string> = new Set();
const blocksOf = (layers: readonly LayerPlan[]): (number | null)[] => [...new Set(layers.map(({ block }) => block))];

test('figures are those of all blocks, whichever is another', () => {
  const model = describedLlama(sizes(6));
  const [low, high] = [scheme(4), scheme(8)];
  const like = layersOfOne(model, low);
  const other = (block: number, changes: Partial<LayerPlan>, role = /./): LayerPlan[] =>
    like.map((layer) => (layer.block === block && role.test(layer.role) ? { ...layer, ...changes } : layer));
  const last = like.filter(({ block }) => block === 5).map(({ name }) => name);
  const cases: [LayerPlan[], ReadonlySet<string>, (number | null)[]][] = [
    [like, none, [0, null]],
    [other(4, { scheme: high }, /down/), none, [0, 4, null]],
    [other(2, { rows: 9000 }, /up/), none, [0, 2, null]],
    [other(0, { scheme: null, quantizer: null }), none, [0, 1, null]],
    [other(3, { scheme: null, quantizer: null }), new Set(last), [0, 3, 5, null]],
  ];
  for (const [layers, pruned, expected] of cases) {
    const distinct = layersOfDistinctBlocks(layers, [], pruned);
    assert.deepEqual(blocksOf(distinct).sort(), expected.sort());
    for (const calibration of [rows, null])
      for (const onCuda of [false, true]) {
        const input = {
          model,
          calibration,
          evaluation: rows,
          transforms: [],
          pruned,
          memoryLimit: 16e9,
          onCuda,
          storedBytes: ({ rows: m, columns: n, scheme: of }: LayerPlan) => (m * n * (of?.weights?.num_bits ?? 16)) / 8,
        };
        assert.deepEqual(memoryStages({ ...input, layers: distinct }, 1e9), memoryStages({ ...input, layers }, 1e9));
        assert.deepEqual(leastMemoryStages({ ...input, layers: distinct }, 1e9), leastMemoryStages({ ...input, layers }, 1e9));
      }
  }
});

test('with transforms, which name single layers, all blocks stay', () => {
  const layers = layersOfOne(describedLlama(sizes(3)), scheme(4));
  const transform = { name: 'bias-correction', modifier: 'BiasCorrectionModifier', recipe_path: [], layers: [], added: [], switches: [] };
  assert.equal(layersOfDistinctBlocks(layers, [transform as never], none), layers);
});

test('ninety blocks more are looked at once, and not for every figure of an analysis', () => {
  const shared = scheme(4);
  const reads = (blocks: number): number => {
    const model = describedLlama(sizes(blocks));
    let n_reads = 0;
    const layers = layersOfOne(model, shared).map((layer) =>
      Object.defineProperty({ ...layer }, 'columns', { get: () => ((n_reads += 1), layer.columns) }),
    );
    analysisNeeds({ model, layers, calibration: rows, evaluation: rows, transforms: [], memoryLimit: 16e9 }, 1e9);
    return n_reads;
  };
  assert.equal(reads(92) - reads(2), 90 * 7);
});
