// Layers in the lines of `bitwright plan` and `inspect`: as few lines as there are kinds, whatever the number of blocks and experts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupByName } from '../../client/src/cli/name-groups.js';

const lines = (names: readonly string[], kindOf: (name: string) => string = () => ''): string[] =>
  groupByName(names, (name) => name, kindOf).map(({ name, items }) => `${name} ${items.length}`);

test('the experts of all blocks share a line', () => {
  const names = Array.from({ length: 61 }, (_, block) =>
    block < 3
      ? [`model.layers.${block}.mlp.up_proj`]
      : Array.from({ length: 256 }, (__, expert) => `model.layers.${block}.mlp.experts.${expert}.up_proj`),
  ).flat();
  assert.deepEqual(lines(names.sort()), ['model.layers.{0–2}.mlp.up_proj 3', 'model.layers.{3–60}.mlp.experts.{0–255}.up_proj 14848']);
});

test('a line holds every combination of its numbers, and nothing else', () => {
  const name = (block: number, expert: number): string => `layers.${block}.experts.${expert}.w1`;
  // Block 1 lacks an expert, and expert 3 of block 4 is of another kind.
  const all = [0, 1, 2, 4].flatMap((block) => [0, 1, 2, 3].map((expert) => name(block, expert)));
  const some = all.filter((one) => one !== name(1, 0));
  assert.deepEqual(
    lines(some, (one) => (one === name(4, 3) ? 'int8' : 'int4')),
    ['layers.{0,2}.experts.{0–3}.w1 8', 'layers.1.experts.{1–3}.w1 3', 'layers.4.experts.{0–2}.w1 3', 'layers.4.experts.3.w1 1'],
  );
});

test('names without numbers, and one alone, stay as they are', () => {
  assert.deepEqual(lines(['lm_head', 'model.layers.7.mlp.gate', 'visual.merger.mlp.0']), [
    'lm_head 1',
    'model.layers.7.mlp.gate 1',
    'visual.merger.mlp.0 1',
  ]);
});
