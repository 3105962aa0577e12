// The first layer that diverges: by the stated limit, in the order of work, with the layer to change where the error was handed on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorDepth, LayerError } from '../../schemas/src/generated/report.js';
import { divergenceText, firstDivergence } from '../../schemas/src/first-divergence.js';

type Parts = [weight: number | null, activation: number | null, propagated: number | null, total: number | null];
const depthOf = (...layers: Parts[]): ErrorDepth => ({
  dataset: 'rows.jsonl',
  rows: 8,
  tokens: 2040,
  blocks: [],
  layers: layers.map(([weight, activation, propagated, total], i): LayerError => ({
    name: `l${i}`,
    block: 0,
    weight,
    activation,
    propagated,
    total,
  })),
});

test('none: the largest error is named, and the limit', () => {
  assert.equal(firstDivergence(depthOf([0.01, 0, 0, 0.01], [0.02, 0, 0.08, 0.1])), null);
  assert.equal(
    divergenceText(depthOf([0.01, 0, 0, 0.01], [0.02, 0, 0.01, 0.0312])),
    'No layer diverges: the largest error of an output is 3.12 % of its square, in l1; from 10 % on it would.',
  );
  assert.equal(divergenceText(depthOf()), 'No linear was compared.');
});

test('by its own weights or inputs it is itself the layer to change', () => {
  const depth = depthOf([0.01, 0, 0, 0.01], [0.02, 0.2, 0.01, 0.23], [0.9, 0, 0, 0.9]);
  const found = firstDivergence(depth);
  assert.deepEqual([found?.layer.name, found?.largest, found?.source.name], ['l1', 'activation', 'l1']);
  assert.equal(
    divergenceText(depth),
    'l1 is the first layer that diverges: the error of its output is 23 % of its square (limit 10 %), most of it from the rounding of its inputs (20 %).',
  );
});

test('handed on, it names the layer before with the largest error of its own', () => {
  const depth = depthOf([0.01, 0, 0, 0.01], [0.06, 0.01, 0.02, 0.09], [0.02, 0, 0.15, 0.17], [0.5, 0, 0, 0.5]);
  assert.equal(firstDivergence(depth)?.source.name, 'l1');
  assert.match(
    divergenceText(depth),
    /^l2 is the first .* most of it from the layers before \(15 %\)\. Up to it l1 adds the most by itself \(weights 6 %, activations 1 %\)\.$/,
  );
});

test('what is not finite diverges', () => {
  const depth = depthOf([0.01, 0, 0, 0.01], [0.01, null, null, null]);
  assert.deepEqual([firstDivergence(depth)?.layer.name, firstDivergence(depth)?.largest], ['l1', null]);
  assert.match(divergenceText(depth), /^l1 is the first layer that diverges: its output or its error is not finite\.$/);
});
