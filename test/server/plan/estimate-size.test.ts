// Stored bytes of a layer, counted by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QuantizationArgs, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { inputBytes, storedBytes } from '../../../server/src/plan/estimate-size.js';
import { weightArgs } from '../../support/layer-plan.js';

const weights = (changes: Partial<QuantizationArgs>): QuantizationArgs =>
  weightArgs({ num_bits: 4, strategy: 'group', group_size: 128, ...changes });
const layer = { rows: 64, columns: 256 };
const bytes = (changes: Partial<QuantizationArgs>, format: 'pack-quantized' | 'int-quantized' = 'pack-quantized', dtype = 2): number =>
  storedBytes(layer, { weights: weights(changes), input_activations: null, output_activations: null, format }, dtype);

/** weight_shape: two I64. */
const shape = 16;

test('packed integers', () => {
  assert.equal(bytes({}), (64 * 256) / 2 + 64 * 2 * 2 + shape);
  assert.equal(bytes({ num_bits: 8 }), 64 * 256 + 64 * 2 * 2 + shape);
  // 3 bits: each row is packed into whole words of 32 bits.
  assert.equal(bytes({ num_bits: 3 }), 64 * Math.ceil((256 * 3) / 32) * 4 + 64 * 2 * 2 + shape);
  assert.equal(bytes({ strategy: 'channel', group_size: null }), (64 * 256) / 2 + 64 * 2 + shape);
  assert.equal(bytes({ strategy: 'tensor', group_size: null }), (64 * 256) / 2 + 2 + shape);
  assert.equal(bytes({}, 'pack-quantized', 4), (64 * 256) / 2 + 64 * 2 * 4 + shape);
});

test('zero points are packed along the rows', () => {
  assert.equal(bytes({ symmetric: false }), (64 * 256) / 2 + 64 * 2 * 2 + ((64 * 4) / 32) * 4 * 2 + shape);
});

test('a table of groups for actorder group', () => {
  assert.equal(bytes({ actorder: 'group' }) - bytes({}), 256 * 4);
  assert.equal(bytes({ actorder: 'weight' }), bytes({}));
});

test('integers that are not packed, and no weights at all', () => {
  assert.equal(bytes({ num_bits: 8, strategy: 'channel', group_size: null }, 'int-quantized'), 64 * 256 + 64 * 2);
  assert.equal(storedBytes(layer, { weights: null, input_activations: null, output_activations: null, format: 'dense' }, 2), 64 * 256 * 2);
});

test('float formats: FP8 bytes or two FP4 codes in a byte, with the scales of each', () => {
  const floats = (changes: Partial<QuantizationArgs>, format: QuantizationScheme['format'], dtype = 2): number =>
    storedBytes(
      { rows: 64, columns: 320 },
      {
        weights: weights({ type: 'float', num_bits: 8, group_size: null, ...changes }),
        input_activations: null,
        output_activations: null,
        format,
      },
      dtype,
    );
  const n = 64 * 320;
  assert.equal(floats({ strategy: 'tensor' }, 'float-quantized'), n + 2);
  assert.equal(floats({ strategy: 'channel' }, 'float-quantized', 4), n + 64 * 4);
  assert.equal(floats({ strategy: 'group', group_size: 64 }, 'naive-quantized'), n + 64 * 5 * 2);
  // Blocks at the lower and right edge have a scale of their own.
  assert.equal(floats({ strategy: 'block', block_structure: [128, 128] }, 'float-quantized'), n + 1 * 3 * 2);
  assert.equal(floats({ strategy: 'group', group_size: 32 }, 'mxfp8-quantized'), n + 64 * 10);
  assert.equal(floats({ num_bits: 4, strategy: 'group', group_size: 32 }, 'mxfp4-pack-quantized'), n / 2 + 64 * 10);
  assert.equal(floats({ num_bits: 4, strategy: 'tensor_group', group_size: 16 }, 'nvfp4-pack-quantized'), n / 2 + 64 * 20 + 4);
});

test('what is calibrated of inputs', () => {
  const inputs = (changes: Partial<QuantizationArgs>): number =>
    inputBytes(
      {
        weights: null,
        input_activations: weights({ strategy: 'tensor', group_size: null, ...changes }),
        output_activations: null,
        format: 'dense',
      },
      2,
    );
  assert.deepEqual([inputs({}), inputs({ symmetric: false }), inputs({ dynamic: true }), inputs({ dynamic: 'local' })], [2, 3, 0, 4]);
});
