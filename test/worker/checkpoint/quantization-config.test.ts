// quantization_config and its insertion into the model's own config.json.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerPlan, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { addToConfig, makeQuantizationConfig } from '../../../worker/src/checkpoint/quantization-config.js';
import { layerPlan, weightArgs } from '../../support/layer-plan.js';

const scheme = (num_bits: number, actorder: 'weight' | 'group' | null = null): QuantizationScheme => ({
  weights: weightArgs({ num_bits, actorder, strategy: 'group', group_size: 32 }),
  input_activations: null,
  output_activations: null,
  format: 'pack-quantized',
});
const layer = (name: string, kind: LayerPlan['kind'], its: QuantizationScheme | null): LayerPlan =>
  layerPlan({
    name,
    kind,
    rows: 64,
    columns: 64,
    dtype: 'BF16',
    scheme: its,
    quantizer: its && { name: 'rtn', modifier: 'QuantizationModifier', recipe_path: [] },
  });

interface Written {
  format: string;
  ignore: string[];
  config_groups: Record<string, { targets: string[]; weights: Record<string, unknown> }>;
}
const configFor = (layers: LayerPlan[]): Written =>
  makeQuantizationConfig(
    layers,
    layers.filter((one) => one.scheme !== null),
  ) as Written;

test('one scheme for every quantized Linear is the class, and the others are ignored by name', () => {
  const written = configFor([layer('q', 'Linear', scheme(4)), layer('head', 'Linear', null), layer('embed', 'Embedding', null)]);
  assert.deepEqual(
    Object.values(written.config_groups).map((group) => group.targets),
    [['Linear']],
  );
  assert.deepEqual(written.ignore, ['head']);
});

test('two schemes are told by the names of their layers', () => {
  const written = configFor([layer('a', 'Linear', scheme(4)), layer('b', 'Linear', scheme(8)), layer('c', 'Linear', scheme(4))]);
  assert.deepEqual(
    Object.values(written.config_groups).map((group) => group.targets),
    [['a', 'c'], ['b']],
  );
  assert.equal(written.format, 'pack-quantized');
});

test('actorder weight leaves nothing in the file, actorder group does; implied dtypes are not written', () => {
  const weightsOf = (its: QuantizationScheme): Record<string, unknown> =>
    configFor([layer('a', 'Linear', its)]).config_groups['group_0']!.weights;
  assert.equal(weightsOf(scheme(4, 'weight'))['actorder'], null);
  assert.equal(weightsOf(scheme(4, 'group'))['actorder'], 'group');
  assert.ok(!('scale_dtype' in weightsOf(scheme(4))) && !('zp_dtype' in weightsOf(scheme(4))));
});

test('the text of the config stays as it is, numbers spelled as they were', () => {
  const text = '{\n  "rope_theta": 10000.0,\n  "eps": 1e-05,\n  "tie_word_embeddings": true,\n  "big": 12345678901234567890\n}\n';
  const added = addToConfig('config.json', text, { quantization_config: { a: [1] }, tie_word_embeddings: false });
  assert.equal(
    added,
    '{\n  "rope_theta": 10000.0,\n  "eps": 1e-05,\n  "tie_word_embeddings": false,\n  "big": 12345678901234567890,\n  "quantization_config": {\n    "a": [\n      1\n    ]\n  }\n}\n',
  );
  assert.doesNotThrow(() => JSON.parse(added) as unknown);
});

test('an empty config takes the entry, a broken one is named', () => {
  assert.deepEqual(JSON.parse(addToConfig('config.json', '{}', { quantization_config: 1 })), { quantization_config: 1 });
  assert.throws(() => addToConfig('/m/config.json', '{', { quantization_config: 1 }), /\/m\/config\.json cannot be read/);
  assert.throws(
    () => addToConfig('/m/config.json', '{"quantization_config": {}}', { quantization_config: 1 }),
    /has an entry quantization_config already/,
  );
});
