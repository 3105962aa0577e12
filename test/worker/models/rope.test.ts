// Rotary tables of every scaling variant against transformers' frequencies, attention factors and tables (test/golden/rope.json).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readConfig } from '../../../schemas/src/model/model-config.js';
import { makeRopeTables } from '../../../worker/src/models/rope.js';
import { repositoryRoot } from '../../support/shared.js';

interface RopeCase {
  name: string;
  config: Record<string, unknown> & { rope_parameters: Record<string, unknown> };
  length: number;
  positions: number[];
  inv_freq: number[];
  attention_factor: number;
  cos: number[][];
  sin: number[][];
}

const cases = JSON.parse(readFileSync(path.join(repositoryRoot, 'test', 'golden', 'rope.json'), 'utf8')) as RopeCase[];
const others = { model_type: 'llama', intermediate_size: 512, num_hidden_layers: 2, vocab_size: 96 };

const tablesOf = (config: Record<string, unknown>, length: number) => {
  const { architecture, reason } = readConfig({ ...others, ...config });
  assert.ok(architecture, String(reason));
  return makeRopeTables(architecture, length);
};

for (const golden of cases)
  test(`${golden.name}: the tables of transformers`, () => {
    const { cos, sin, n_pairs, n_positions } = tablesOf(golden.config, golden.length);
    assert.equal(n_positions, golden.length);
    assert.equal(n_pairs, golden.inv_freq.length);
    golden.inv_freq.forEach((frequency, pair) => {
      // At position 1 the angle is the frequency itself and the length of (cos, sin) the attention factor.
      const [c, s] = [cos[n_pairs + pair] ?? NaN, sin[n_pairs + pair] ?? NaN];
      assert.ok(Math.abs(Math.atan2(s, c) / frequency - 1) < 1e-6, `pair ${pair}: ${Math.atan2(s, c)}, not ${frequency}`);
      assert.ok(Math.abs(Math.hypot(c, s) / golden.attention_factor - 1) < 1e-6);
    });
    // An angle of p · f with f one unit in the last place off is p · f · 2⁻²³ off, and one rounding of cos itself.
    golden.positions.forEach((position, row) =>
      golden.inv_freq.forEach((frequency, pair) => {
        const bound = golden.attention_factor * (2 * position * frequency * 2 ** -23 + 2 ** -23);
        for (const [table, wanted] of [
          [cos, golden.cos],
          [sin, golden.sin],
        ] as const) {
          const difference = Math.abs((table[position * n_pairs + pair] ?? NaN) - (wanted[row]?.[pair] ?? NaN));
          assert.ok(difference <= bound, `position ${position}, pair ${pair}: off by ${difference}, allowed ${bound}`);
        }
      }),
    );
  });

test('both dialects of config.json give the same tables', () => {
  for (const { config, length } of cases) {
    const { rope_parameters, ...rest } = config;
    const { rope_theta, rope_type, partial_rotary_factor, ...scaling } = rope_parameters;
    const older = {
      ...rest,
      rope_theta,
      ...(partial_rotary_factor === undefined ? {} : { partial_rotary_factor }),
      rope_scaling: rope_type === 'default' ? null : { type: rope_type, ...scaling },
    };
    assert.deepEqual(tablesOf(older, length), tablesOf(config, length));
  }
});
