// Which device quantizes which layer: by the sizes alone, linears with one input together.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { placeLayers, type LayerGroup } from '../../../worker/src/jobs/spread-layers.js';

const layer = (name: string, rows: number, columns: number, strategy = 'channel'): LayerPlan =>
  ({ name, rows, columns, quantizer: { name: 'gptq' }, scheme: { weights: { strategy } } }) as LayerPlan;
const block = (strategy?: string): LayerPlan[] => [
  layer('b.mlp.down_proj', 64, 172, strategy),
  layer('b.mlp.gate_proj', 172, 64, strategy),
  layer('b.mlp.up_proj', 172, 64, strategy),
  layer('b.self_attn.k_proj', 32, 64, strategy),
  layer('b.self_attn.o_proj', 64, 64, strategy),
  layer('b.self_attn.q_proj', 64, 64, strategy),
  layer('b.self_attn.v_proj', 32, 64, strategy),
];
const shared = [
  ['b.self_attn.q_proj', 'b.self_attn.k_proj', 'b.self_attn.v_proj'],
  ['b.self_attn.o_proj'],
  ['b.mlp.gate_proj', 'b.mlp.up_proj'],
  ['b.mlp.down_proj'],
];
const told = (groups: readonly LayerGroup[]): [string, number][] =>
  groups.map(({ layers, device }) => [layers.map(({ name }) => name.split('.').at(-1)).join(' '), device]);

test('the costliest group first, each to the device with the least to do', () => {
  assert.deepEqual(told(placeLayers(block(), shared, 2)), [
    ['k_proj q_proj v_proj', 1],
    ['o_proj', 1],
    ['gate_proj up_proj', 1],
    ['down_proj', 0],
  ]);
  assert.deepEqual(told(placeLayers(block(), shared, 3)), [
    ['k_proj q_proj v_proj', 2],
    ['o_proj', 2],
    ['gate_proj up_proj', 1],
    ['down_proj', 0],
  ]);
  assert.ok(placeLayers(block(), shared, 1).every(({ device }) => device === 0));
});

test('without inputs each layer by itself, those that share a scale together; equal ones one after the other', () => {
  const alone = placeLayers(block(), [], 8);
  assert.equal(alone.length, 7);
  assert.equal(new Set(alone.map(({ device }) => device)).size, 7);
  assert.deepEqual(
    placeLayers(block('tensor_group'), [], 2).map(({ layers }) => layers.length),
    [1, 2, 3, 1],
  );
  const equal = [0, 1, 2, 3, 4].map((i) => layer(`expert.${i}`, 8, 8));
  assert.deepEqual(
    placeLayers(equal, [], 2).map(({ device }) => device),
    [0, 1, 0, 1, 0],
  );
});
