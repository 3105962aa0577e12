// SmoothQuant's mappings: the default of the Llama family, those of a recipe, and what is told of those that match nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NamedModule } from '../../../schemas/src/model/match-targets.js';
import { resolveMappings, type ResolvedMappings } from '../../../server/src/plan/resolve-mappings.js';
import { llamaRoles } from '../../support/llama-roles.js';

const modules: NamedModule[] = [0, 1, 10].flatMap((block) => {
  const at = `model.layers.${block}`;
  return [
    ...['input_layernorm', 'post_attention_layernorm'].map((name): NamedModule => ({ name: `${at}.${name}`, class: 'Other' })),
    ...llamaRoles.map((name): NamedModule => ({ name: `${at}.${name}`, class: 'Linear' })),
  ];
});

const resolve = (body: Record<string, unknown>, isLlama = true): ResolvedMappings =>
  resolveMappings({ name: 'SmoothQuantModifier', path: ['s_stage', 's_modifiers', 'SmoothQuantModifier'], body }, modules, isLlama);

const short = ({ mappings }: ResolvedMappings): string[] =>
  mappings.map(({ smooth_layer, balance_layers }) =>
    `${smooth_layer} → ${balance_layers.map((name) => name.split('.').at(-1)).join(' ')}`.replace('model.layers.', ''),
  );

test('the default: norms to what they feed, each within its block', () => {
  const resolved = resolve({});
  assert.deepEqual(resolved.problems, []);
  assert.deepEqual(short(resolved), [
    '0.input_layernorm → q_proj k_proj v_proj',
    '1.input_layernorm → q_proj k_proj v_proj',
    '10.input_layernorm → q_proj k_proj v_proj',
    '0.post_attention_layernorm → gate_proj up_proj',
    '1.post_attention_layernorm → gate_proj up_proj',
    '10.post_attention_layernorm → gate_proj up_proj',
  ]);
  for (const { smooth_layer, balance_layers } of resolved.mappings) {
    const block = /^model\.layers\.\d+\./.exec(smooth_layer)?.[0] ?? '';
    assert.ok(balance_layers.every((name) => name.startsWith(block)));
  }
});

test('a name without a point stands above all, and one layer may stand in two mappings', () => {
  const named: NamedModule[] = ['norm', 'a.norm', 'a.b.fc'].map((name) => ({ name, class: name.endsWith('fc') ? 'Linear' : 'Other' }));
  const mappings = [[['re:.*fc'], 're:(.*\\.)?norm$']];
  const { mappings: found } = resolveMappings({ name: 'SmoothQuantModifier', path: ['s'], body: { mappings } }, named, true);
  assert.deepEqual(found, [
    { smooth_layer: 'norm', balance_layers: ['a.b.fc'] },
    { smooth_layer: 'a.norm', balance_layers: ['a.b.fc'] },
  ]);
});

test('mappings of the recipe, also between linears', () => {
  const resolved = resolve({
    mappings: [
      [['re:.*down_proj'], 're:.*up_proj'],
      [['re:.*o_proj'], 're:.*v_proj'],
    ],
  });
  assert.deepEqual(resolved.problems, []);
  assert.equal(resolved.mappings.length, 6);
  assert.deepEqual(resolved.mappings[1], { smooth_layer: 'model.layers.1.mlp.up_proj', balance_layers: ['model.layers.1.mlp.down_proj'] });
});

test('a mapping goes only when all of its layers are ignored', () => {
  assert.equal(resolve({ ignore: ['re:.*input_layernorm'] }).mappings.length, 6);
  assert.equal(resolve({ ignore: ['re:.*input_layernorm', 're:.*[qkv]_proj'] }).mappings.length, 3);
  assert.equal(resolve({ ignore: ['re:.*\\.10\\..*'] }).mappings.length, 4);
});

test('partly unmatched is an error, wholly unmatched does nothing', () => {
  const partly = resolve({ mappings: [[['re:.*q_proj', 're:.*qq_proj'], 're:.*input_layernorm']] });
  assert.deepEqual(
    partly.problems.map(({ code, severity, path }) => [code, severity, path.at(-1)]),
    [['smoothquant-mappings-unresolved', 'error', 0]],
  );
  assert.match(partly.problems[0]?.message ?? '', /re:\.\*qq_proj matches no module of the model, so this mapping cannot be resolved/);
  const wholly = resolve({ mappings: [[['re:.*qq_proj'], 're:.*norm_in']] });
  assert.equal(wholly.problems[0]?.severity, 'warning');
  assert.match(
    wholly.problems[0]?.message ?? '',
    /re:\.\*norm_in, re:\.\*qq_proj match no module of the model, so this mapping does nothing/,
  );
});

test('an unknown architecture has no default', () => {
  assert.deepEqual(resolve({}, false), { mappings: [], n_ignored: 0, problems: [] });
  assert.equal(resolve({ mappings: [[['re:.*up_proj'], 're:.*post_attention_layernorm']] }, false).mappings.length, 3);
});

test('what is no pair is left to the schema and never thrown', () => {
  for (const mappings of [
    [null],
    [1],
    ['x'],
    [[]],
    [[['a']]],
    [{ smooth_layer: 'a', balance_layers: ['b'] }],
    [[null, null]],
    {},
    'x',
    null,
  ])
    resolve({ mappings });
});
