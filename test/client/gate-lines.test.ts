// Where the gates of a recipe stand: in a block, in braces, with comments, and nowhere else than at the top of the recipe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateLines } from '../../client/src/gate-lines.js';

const found = (text: string) =>
  gateLines(text).map(({ key, limit, line, begin, end }) => ({ key, limit, line, text: text.split('\n')[line]?.slice(begin, end) }));

test('a block with comments, up to the next key', () => {
  const text =
    'model: m\ngates:  # what must hold\n  max_size: 4GB  # max_perplexity: 3\n# min_same_top: 1\n\n  min_same_top: 0.95\nevaluate:\n  max_mean_kld: 1\n';
  assert.deepEqual(found(text), [
    { key: 'max_size', limit: '4GB', line: 2, text: 'max_size: 4GB' },
    { key: 'min_same_top', limit: '0.95', line: 5, text: 'min_same_top: 0.95' },
  ]);
});

test('in braces, on one line and on several', () => {
  assert.deepEqual(found('gates: {max_size: 4GB, max_perplexity: 8.5}'), [
    { key: 'max_size', limit: '4GB', line: 0, text: 'max_size: 4GB' },
    { key: 'max_perplexity', limit: '8.5', line: 0, text: 'max_perplexity: 8.5' },
  ]);
  assert.deepEqual(
    found('gates: {\n  max_perplexity_change: 0.1,\n  max_bits_per_weight: 4.5}\n').map(({ key, limit }) => [key, limit]),
    [
      ['max_perplexity_change', '0.1'],
      ['max_bits_per_weight', '4.5'],
    ],
  );
});

test('none without the key, and none in another mapping', () => {
  assert.deepEqual(found('quant_stage:\n  gates:\n    max_size: 1GB\n'), []);
  assert.deepEqual(found(''), []);
});
