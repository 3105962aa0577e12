// What methods tell of a layer: each fact only where there is one, with its numbers, and one line over all layers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { factLines, factsOf, layerFacts } from '../../schemas/src/layer-facts.js';
import { layerMetrics } from '../support/report-fixture.js';

const textOf = (key: string, changes: Parameters<typeof layerMetrics>[1]): string | undefined =>
  layerFacts.find((fact) => fact.key === key)?.textOf(layerMetrics('a', changes));

const pruning = {
  pruners: ['sparsegpt'],
  mask_structure: '2:4',
  asked: 0.5,
  sparsity: 0.4999,
  sparsity_before: 0.001,
  zero_rows: 0,
  zero_rows_before: 0,
};

test('every fact in words, with its numbers', () => {
  assert.equal(textOf('sparsity', { pruning }), '50 % of 50 % asked, 0.1 % before; sparsegpt, 2:4');
  assert.equal(
    textOf('sparsity', { pruning: { ...pruning, asked: null, zero_rows: 2 } }),
    '50 % of those that were there, 0.1 % before; sparsegpt, 2:4; 2 rows of zeros (0 before)',
  );
  assert.equal(textOf('clip', { clip: { n_clipped: 3, n_cells: 128, loss_before: 2, loss_after: 1.5 } }), '3 of 128 cut, 25 % less error');
  assert.equal(textOf('clip', { clip: { n_clipped: 0, n_cells: 128, loss_before: 0, loss_after: 0 } }), '0 of 128 cut');
  assert.equal(textOf('variance_gain', { variance_gain: { min: 0.98, max: 1.1 } }), 'scales × 0.98 … 1.1');
  assert.equal(textOf('bias_shift', { bias_shift: { rms: 0.012, largest: 0.5 } }), 'rms 0.012, largest 0.5');
  assert.equal(textOf('low_rank', { low_rank: { rank: 16, error_before: 4, error_after: 5 } }), 'rank 16, 25 % more error');
  assert.equal(textOf('outlier_columns', { outlier_columns: [] }), '0 of 64');
  assert.match(textOf('outlier_columns', { outlier_columns: [9, 3, 1, 2, 4, 5, 6, 7, 8, 0] }) ?? '', /^10 of 64: 9, 3, .* 7 and 2 more$/);
  assert.equal(textOf('information_bits', { num_bits: 2, information_bits: Math.log2(3) }), '1.58');
});

test('nothing is said of what a layer does not have; eight-bit floats have all but a few of their codes', () => {
  const plain = layerMetrics('a', { dampening_frac: null, num_bits: 8, information_bits: Math.log2(254) });
  assert.deepEqual(factsOf([plain]), []);
  assert.deepEqual(factLines([plain]), []);
});

test('one line for each fact: the layers with most and least of it, or that all are alike', () => {
  const layers = [0.25, 0.5].map((sparsity, i) => layerMetrics(`l${i}`, { dampening_frac: 0.01, pruning: { ...pruning, sparsity } }));
  assert.deepEqual(factLines([...layers, layerMetrics('bare', { dampening_frac: null })]), [
    {
      name: 'Zeros',
      text: '2 of 3 layers; most in l1: 50 % of 50 % asked, 0.1 % before; sparsegpt, 2:4; least in l0: 25 % of 50 % asked, 0.1 % before; sparsegpt, 2:4',
    },
  ]);
  const damped = [0.01, 0.1, 0.1].map((dampening_frac, i) => layerMetrics(`l${i}`, { dampening_frac }));
  assert.deepEqual(factLines(damped), [
    { name: 'Damping', text: 'all layers; most in l1: 0.1 × mean diag(H); least in l0: 0.01 × mean diag(H)' },
  ]);
  assert.deepEqual(factLines(damped.slice(1)), []);
  assert.deepEqual(factLines([layerMetrics('one', { outlier_columns: [5], dampening_frac: null })]), [
    { name: 'Columns kept', text: 'one: 1 of 64: 5' },
  ]);
});
