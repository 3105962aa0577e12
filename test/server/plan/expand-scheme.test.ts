// Presets and quantization args against compressed-tensors 0.18: the tables are what its own classes make of the same input.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import presets from '../../../schemas/scheme-presets.json';
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { expandScheme, type ExpandedModifier } from '../../../server/src/plan/expand-scheme.js';
import { presetNames } from '../../../server/src/plan/presets.js';
import { readModifiers } from '../../../server/src/plan/read-modifiers.js';
import { parseRecipe } from '../../../server/src/recipe/parse-recipe.js';

const path = ['q_stage', 'q_modifiers', 'QuantizationModifier'];

function expanded(body: object, name = 'QuantizationModifier'): ExpandedModifier & { codes: string[] } {
  const { document, problems } = parseRecipe(JSON.stringify({ q_stage: { q_modifiers: { [name]: body } } }));
  const [modifier] = readModifiers(document.value);
  assert.ok(modifier);
  const result = expandScheme(modifier);
  return { ...result, codes: [...problems, ...result.problems].map(({ code }) => code) };
}

const dtypeName = (name: string | null): string => name?.replace('torch.', '') ?? '-';

const shown = (args: QuantizationArgs | null | undefined): string =>
  args === null || args === undefined
    ? '-'
    : [
        args.type,
        args.num_bits,
        args.symmetric ? 'sym' : 'asym',
        args.strategy,
        args.group_size ?? '-',
        args.block_structure?.join('x') ?? '-',
        String(args.dynamic),
        dtypeName(args.scale_dtype),
        args.observer ?? '-',
      ].join(' ');

/** name, weights, input_activations (type, bits, symmetry, strategy, group, block, dynamic, scale dtype, observer), format that is stored. */
const realPresets: readonly [name: string, weights: string, inputs: string, format: string][] = [
  ['UNQUANTIZED', '-', '-', 'dense'],
  ['W4A16_ASYM', 'int 4 asym group 128 - false - memoryless_minmax', '-', 'pack-quantized'],
  ['W8A8', 'int 8 sym channel - - false - memoryless_minmax', 'int 8 sym token - - true - -', 'int-quantized'],
  ['INT8', 'int 8 sym channel - - false - memoryless_minmax', 'int 8 sym token - - true - -', 'int-quantized'],
  ['W4AFP8', 'int 4 sym group 128 - false - memoryless_minmax', 'float 8 sym token - - true - -', 'int-quantized'],
  ['FP8', 'float 8 sym tensor - - false - memoryless_minmax', 'float 8 sym tensor - - false - static_minmax', 'float-quantized'],
  ['FP8_DYNAMIC', 'float 8 sym channel - - false - memoryless_minmax', 'float 8 sym token - - true - -', 'float-quantized'],
  ['FP8_BLOCK', 'float 8 sym block - 128x128 false - memoryless_minmax', 'float 8 sym group 128 - true - -', 'float-quantized'],
  ['NVFP4A16', 'float 4 sym tensor_group 16 - false float8_e4m3fn memoryless_minmax', '-', 'nvfp4-pack-quantized'],
  [
    'NVFP4',
    'float 4 sym tensor_group 16 - false float8_e4m3fn memoryless_minmax',
    'float 4 sym tensor_group 16 - local float8_e4m3fn static_minmax',
    'nvfp4-pack-quantized',
  ],
  ['MXFP4A16', 'float 4 sym group 32 - false uint8 memoryless_minmax', '-', 'mxfp4-pack-quantized'],
  ['MXFP4', 'float 4 sym group 32 - false uint8 memoryless_minmax', 'float 4 sym group 32 - true uint8 -', 'mxfp4-pack-quantized'],
  ['MXFP8A16', 'float 8 sym group 32 - false uint8 memoryless_minmax', '-', 'mxfp8-quantized'],
  ['MXFP8', 'float 8 sym group 32 - false uint8 memoryless_minmax', 'float 8 sym group 32 - true uint8 -', 'mxfp8-quantized'],
  ['W2A4', 'int 2 sym group 128 - false - memoryless_minmax', 'int 4 sym token - - true - -', 'int-quantized'],
  ['W2A8', 'int 2 sym group 128 - false - memoryless_minmax', 'int 8 sym token - - true - -', 'int-quantized'],
  ['W2A16', 'int 2 sym group 128 - false - memoryless_minmax', '-', 'pack-quantized'],
  ['W3A4', 'int 3 sym group 128 - false - memoryless_minmax', 'int 4 sym token - - true - -', 'int-quantized'],
  ['W3A8', 'int 3 sym group 128 - false - memoryless_minmax', 'int 8 sym token - - true - -', 'int-quantized'],
  ['W3A16', 'int 3 sym group 128 - false - memoryless_minmax', '-', 'pack-quantized'],
  ['W4A4', 'int 4 sym group 128 - false - memoryless_minmax', 'int 4 sym token - - true - -', 'int-quantized'],
  ['W4A8', 'int 4 sym group 128 - false - memoryless_minmax', 'int 8 sym token - - true - -', 'int-quantized'],
  ['W4A16', 'int 4 sym group 128 - false - memoryless_minmax', '-', 'pack-quantized'],
  ['W5A8', 'int 5 sym group 128 - false - memoryless_minmax', 'int 8 sym token - - true - -', 'int-quantized'],
  ['W5A16', 'int 5 sym group 128 - false - memoryless_minmax', '-', 'pack-quantized'],
  ['W6A8', 'int 6 sym group 128 - false - memoryless_minmax', 'int 8 sym token - - true - -', 'int-quantized'],
  ['W6A16', 'int 6 sym group 128 - false - memoryless_minmax', '-', 'pack-quantized'],
  ['W7A8', 'int 7 sym group 128 - false - memoryless_minmax', 'int 8 sym token - - true - -', 'int-quantized'],
  ['W7A16', 'int 7 sym group 128 - false - memoryless_minmax', '-', 'pack-quantized'],
  ['W8A16', 'int 8 sym group 128 - false - memoryless_minmax', '-', 'pack-quantized'],
];

test('the presets are those of compressed-tensors, all of them', () => {
  assert.deepEqual(presetNames.toSorted(), realPresets.map(([name]) => name).toSorted());
  assert.deepEqual(presetNames, Object.keys(presets));
});

for (const [name, weights, inputs, format] of realPresets)
  test(`preset ${name}`, () => {
    for (const spelling of [name, name.toLowerCase()]) {
      const { groups, codes } = expanded({ scheme: spelling });
      assert.deepEqual(codes, []);
      const [group] = groups;
      assert.deepEqual(group?.targets, ['Linear']);
      assert.equal(shown(group?.scheme?.weights), weights);
      assert.equal(shown(group?.scheme?.input_activations), inputs);
      assert.equal(group?.scheme?.output_activations, null);
      assert.equal(group?.scheme?.format, format);
    }
  });

test('zero points of asymmetric integers are int8', () => {
  assert.equal(expanded({ scheme: 'W4A16_ASYM' }).groups[0]?.scheme?.weights?.zp_dtype, 'torch.int8');
  assert.equal(expanded({ scheme: 'W4A16' }).groups[0]?.scheme?.weights?.zp_dtype, null);
});

/**
 * Args of weights; null: QuantizationArgs refuses them. With the actorder behind dynamic. Here `static` and `weight` are one, a group_size
 * of -1 is none, and the observers of weights are their memoryless twins, as llm-compressor has it when it uses them.
 */
const realArgs: readonly [args: object, weights: string | null][] = [
  [{}, 'int 8 sym tensor - - false - - memoryless_minmax'],
  [{ num_bits: 4 }, 'int 4 sym tensor - - false - - memoryless_minmax'],
  [{ group_size: 128 }, 'int 8 sym group 128 - false - - memoryless_minmax'],
  [{ group_size: -1 }, 'int 8 sym channel - - false - - memoryless_minmax'],
  [{ group_size: 0 }, null],
  [{ group_size: -2 }, null],
  [{ strategy: 'channel' }, 'int 8 sym channel - - false - - memoryless_minmax'],
  [{ strategy: 'CHANNEL' }, 'int 8 sym channel - - false - - memoryless_minmax'],
  [{ strategy: 'group' }, null],
  [{ strategy: 'channel', group_size: 128 }, null],
  [{ strategy: 'tensor', group_size: -1 }, 'int 8 sym tensor - - false - - memoryless_minmax'],
  [{ strategy: 'token' }, null],
  [{ strategy: 'token', dynamic: true }, 'int 8 sym token - - true - - -'],
  [{ strategy: 'channel', dynamic: true }, null],
  [{ strategy: 'group', group_size: 32, dynamic: true }, 'int 8 sym group 32 - true - - -'],
  [{ dynamic: 'local' }, null],
  [{ strategy: 'tensor_group', group_size: 16, dynamic: 'local' }, 'int 8 sym tensor_group 16 - local - - memoryless_minmax'],
  [{ strategy: 'block' }, null],
  [{ strategy: 'block', block_structure: [128, 128] }, 'int 8 sym block - 128x128 false - - memoryless_minmax'],
  [{ block_structure: [128, 128] }, null],
  [{ strategy: 'block', block_structure: '128x64' }, 'int 8 sym block - 128x64 false - - memoryless_minmax'],
  [{ actorder: 'group' }, null],
  [{ actorder: 'group', group_size: 32 }, 'int 8 sym group 32 - false group - memoryless_minmax'],
  [{ actorder: 'STATIC' }, 'int 8 sym tensor - - false weight - memoryless_minmax'],
  [{ actorder: 'weight', strategy: 'channel' }, 'int 8 sym channel - - false weight - memoryless_minmax'],
  [{ actorder: true, group_size: 32 }, 'int 8 sym group 32 - false group - memoryless_minmax'],
  [{ actorder: true }, null],
  [{ actorder: false }, 'int 8 sym tensor - - false - - memoryless_minmax'],
  [{ actorder: 'bogus' }, null],
  [{ type: 'float' }, 'float 8 sym tensor - - false - - memoryless_minmax'],
  [{ type: 'FLOAT', num_bits: 8 }, 'float 8 sym tensor - - false - - memoryless_minmax'],
  [{ type: 'float', num_bits: 4 }, 'float 4 sym tensor - - false - - memoryless_minmax'],
  [{ type: 'float', num_bits: 6 }, null],
  [{ type: 'bogus' }, null],
  [{ group_size: '128' }, null],
  [{ group_size: 128.0 }, 'int 8 sym group 128 - false - - memoryless_minmax'],
  [{ num_bits: '4' }, 'int 4 sym tensor - - false - - memoryless_minmax'],
  [{ num_bits: 4.5 }, null],
  [{ symmetric: 'no' }, 'int 8 asym tensor - - false - - memoryless_minmax'],
  [{ symmetric: false }, 'int 8 asym tensor - - false - - memoryless_minmax'],
  [{ symmetric: false, num_bits: 16 }, 'int 16 asym tensor - - false - - memoryless_minmax'],
  [{ symmetric: false, type: 'float' }, 'float 8 asym tensor - - false - - memoryless_minmax'],
  [{ observer: 'MSE' }, 'int 8 sym tensor - - false - - memoryless_mse'],
  [{ observer: 'static-minmax' }, 'int 8 sym tensor - - false - - memoryless_minmax'],
  [{ dynamic: true, observer: 'minmax' }, 'int 8 sym tensor - - true - - -'],
  [{ dynamic: 'true' }, null],
  [{ strategy: 'bogus' }, null],
  [{ observer: 'minmax' }, 'int 8 sym tensor - - false - - memoryless_minmax'],
  [{ zp_dtype: 'torch.int8', symmetric: false }, 'int 8 asym tensor - - false - - memoryless_minmax'],
  [{ scale_dtype: 'bfloat16' }, 'int 8 sym tensor - - false - bfloat16 memoryless_minmax'],
  [{ scale_dtype: 'torch.float16' }, 'int 8 sym tensor - - false - float16 memoryless_minmax'],
  [{ scale_dtype: 'bf16' }, null],
  [{ block_structure: ['128', 128], strategy: 'block' }, null],
  [{ strategy: 'attn_head' }, null],
  [{ num_bits: 16 }, 'int 16 sym tensor - - false - - memoryless_minmax'],
  [{ num_bits: 32, symmetric: false }, 'int 32 asym tensor - - false - - memoryless_minmax'],
];

for (const [args, expected] of realArgs)
  test(`args ${JSON.stringify(args)}`, () => {
    const { groups, codes } = expanded({ config_groups: { g: { targets: ['Linear'], weights: args } } });
    const weights = groups[0]?.scheme?.weights ?? null;
    if (expected === null) {
      assert.ok(codes.length > 0, `accepted as ${shown(weights)}`);
      return;
    }
    assert.deepEqual(codes, []);
    const [head, tail] = [shown(weights).split(' ').slice(0, 7), shown(weights).split(' ').slice(7)];
    assert.equal([...head, weights?.actorder ?? '-', ...tail].join(' '), expected);
  });

test('a mapping of presets to targets, and targets of a preset', () => {
  const { groups, codes } = expanded({ scheme: { W4A16: ['re:.*mlp.*'], w8a8: 'Linear' }, targets: ['nothing'] });
  assert.deepEqual(codes, []);
  assert.deepEqual(
    groups.map(({ targets, scheme }) => [...targets, scheme?.weights?.num_bits]),
    [
      ['re:.*mlp.*', 4],
      ['Linear', 8],
    ],
  );
  assert.deepEqual(expanded({ scheme: 'W4A16', targets: 're:.*mlp.*' }).groups[0]?.targets, ['re:.*mlp.*']);
});

test('what a modifier cannot have together', () => {
  assert.deepEqual(expanded({ scheme: 'W4A16', config_groups: { g: { targets: ['Linear'] } } }).codes, [
    'scheme-and-config-groups-together',
  ]);
  assert.deepEqual(expanded({ scheme: 'W4A16', observer: { weights: 'mse' }, input_observer: 'mse' }).codes, ['observer-given-twice']);
  assert.ok(expanded({ scheme: 'W4A61' }).codes.includes('unknown-scheme'));
  assert.ok(expanded({ scheme: { weights: { num_bits: 4 } } }).codes.includes('unknown-scheme'));
});

test('observers of the modifier win over those of the scheme', () => {
  const { groups } = expanded({ scheme: 'FP8', weight_observer: 'mse', observer: null, input_observer: 'minmax' });
  assert.equal(groups[0]?.scheme?.weights?.observer, 'memoryless_mse');
  assert.equal(groups[0]?.scheme?.input_activations?.observer, 'minmax');
});

test('actorder: the modifier says it, or the args, or it is static', () => {
  const order = (modifier: object, args: object): string | null | undefined => {
    const { groups, codes } = expanded(
      { ...modifier, config_groups: { g: { targets: ['Linear'], weights: { num_bits: 4, group_size: 32, ...args } } } },
      'GPTQModifier',
    );
    return codes.length > 0 ? codes.join(' ') : groups[0]?.scheme?.weights?.actorder;
  };
  for (const [modifier, args, expected] of [
    [{}, {}, 'weight'],
    [{ actorder: null }, {}, null],
    [{ actorder: 'group' }, {}, 'group'],
    [{ actorder: 'dynamic' }, {}, 'group'],
    [{ actorder: 'static' }, {}, 'weight'],
    [{}, { actorder: 'group' }, 'group'],
    [{ actorder: 'group' }, { actorder: 'group' }, 'group'],
    [{ actorder: 'static' }, { actorder: 'weight' }, 'actorder-given-twice'],
    [{ actorder: null }, { actorder: 'group' }, 'actorder-given-twice'],
    [{ actorder: 'bogus' }, {}, null],
    [{ actorder: 'constructor' }, {}, null],
    [{ actorder: 'group' }, { actorder: true }, 'group'],
    [{}, { actorder: false }, 'weight'],
    [{ actorder: 'group' }, { strategy: 'channel', group_size: null }, null],
  ] as const)
    assert.match(String(order(modifier, args)), new RegExp(`${String(expected)}$`), JSON.stringify([modifier, args]));
});

test('problems stand at the args they are about', () => {
  const { problems } = expanded({ config_groups: { g: { targets: ['Linear'], weights: { strategy: 'channel', group_size: 128 } } } });
  assert.deepEqual(
    problems.map((problem) => problem.path),
    [[...path, 'config_groups', 'g', 'weights', 'group_size']],
  );
});
