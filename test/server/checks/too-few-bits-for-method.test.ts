// Where bits are too few for a method, and the choices beside them that are left in peace.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dedent } from '../../support/markers.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const recipe = (modifier: string, args: string, more = ''): string => `
    model: model
    calibration: {dataset: rows.jsonl, num_calibration_samples: 8}
    output: {dir: out}
    q_stage:
      q_modifiers:
        ${modifier}:
          ignore: [lm_head]
          config_groups: {g: {targets: [Linear], ${args}}}
${more}
  `;

const found = async (modifier: string, args: string, more?: string): Promise<string[]> => {
  const { problems } = await inFolder({}, (dir) => checkIn(dir, dedent(recipe(modifier, args, more))));
  assert.ok(problems.every(({ code }) => code !== 'yaml-syntax'));
  return problems.filter(({ code }) => code === 'too-few-bits-for-method').map(({ severity, message }) => `${severity} ${message}`);
};

const cases: [string, string, string, RegExp | null][] = [
  [
    '2 bits rounded',
    'QuantizationModifier',
    'weights: {num_bits: 2, strategy: group, group_size: 32}',
    /^warning 14 layers get weights of 2 bits rounded to nearest, .* 842 .*BeaconModifier/,
  ],
  [
    'ternary weights rounded',
    'QuantizationModifier',
    'weights: {num_bits: 2, levels: ternary, strategy: channel}',
    /get ternary weights rounded to nearest/,
  ],
  ['ternary weights by GPTQ', 'GPTQModifier', 'weights: {num_bits: 2, levels: ternary, strategy: channel}', null],
  [
    'ternary weights stored in 4 bits',
    'QuantizationModifier',
    'weights: {num_bits: 4, levels: ternary, strategy: channel}',
    /get ternary weights/,
  ],
  ['six levels', 'QuantizationModifier', 'weights: {num_bits: 4, levels: six, strategy: channel}', null],
  [
    '3 bits rounded, a scale for each row',
    'QuantizationModifier',
    'weights: {num_bits: 3, strategy: channel}',
    /weights of 3 bits .* one scale for each row.*from 3\.8 to 12\.4/,
  ],
  ['3 bits rounded in groups', 'QuantizationModifier', 'weights: {num_bits: 3, strategy: group, group_size: 32}', null],
  ['4 bits rounded, a scale for each row', 'QuantizationModifier', 'weights: {num_bits: 4, strategy: channel}', null],
  [
    '4 bits rounded, one scale',
    'QuantizationModifier',
    'weights: {num_bits: 4, strategy: tensor}',
    /one scale for a whole matrix.* 6\.2 times/,
  ],
  ['8 bits, one scale', 'QuantizationModifier', 'weights: {num_bits: 8, strategy: tensor}', null],
  ['FP4 is no integer', 'QuantizationModifier', 'weights: {num_bits: 4, type: float, strategy: tensor_group, group_size: 16}', null],
  [
    '2 bits by GPTQ',
    'GPTQModifier',
    'weights: {num_bits: 2, strategy: group, group_size: 32}',
    /symmetric weights of 2 bits by GPTQ.* 33 .*symmetric: false/,
  ],
  ['2 bits by GPTQ with a zero point', 'GPTQModifier', 'weights: {num_bits: 2, symmetric: false, strategy: group, group_size: 32}', null],
  ['3 bits by GPTQ', 'GPTQModifier', 'weights: {num_bits: 3, strategy: channel}', null],
  ['2 bits by Beacon', 'BeaconModifier', 'weights: {num_bits: 2, strategy: channel}', null],
  [
    'inputs of 4 bits, static',
    'QuantizationModifier',
    'weights: {num_bits: 8, strategy: channel}, input_activations: {num_bits: 4, strategy: tensor, observer: minmax}',
    /inputs of 4 bits in one fixed range.*dynamic: true/,
  ],
  [
    'inputs of 4 bits for each token',
    'QuantizationModifier',
    'weights: {num_bits: 8, strategy: channel}, input_activations: {num_bits: 4, strategy: token, dynamic: true}',
    null,
  ],
];
for (const [name, modifier, args, message] of cases)
  test(name, async () => {
    const problems = await found(modifier, args);
    assert.equal(problems.length, message === null ? 0 : 1, problems.join('\n'));
    if (message !== null) assert.match(problems[0] ?? '', message);
  });

test('3 bits for each row behind AWQ are left in peace; so are bits that an adapter mends', async () => {
  const rounded = 'weights: {num_bits: 3, strategy: channel}';
  assert.deepEqual(await found('QuantizationModifier', rounded, '        LowRankResidualModifier: {rank: 8}'), []);
  assert.equal((await found('QuantizationModifier', rounded, '        VarianceCorrectionModifier: {}')).length, 1);
});
