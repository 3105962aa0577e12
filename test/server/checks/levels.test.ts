// levels on the recipe line: what they mean in a plan, that llm-compressor does not have them, and where they do not fit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import type { CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const checked = (weights: string, modifier = 'QuantizationModifier', more = ''): Promise<CheckedRecipe> => {
  const text = `model: model
${modifier === 'QuantizationModifier' || modifier === 'HQQModifier' ? '' : 'calibration: {dataset: rows.jsonl}\n'}output: {dir: out}
q_stage:
  q_modifiers:
    ${modifier}: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {${weights}}${more}}}}
`;
  return inFolder({}, (dir) => checkIn(dir, text));
};

const argsOf = ({ plan }: CheckedRecipe): QuantizationArgs | null | undefined =>
  plan?.layers.find(({ scheme }) => scheme !== null)?.scheme?.weights;

for (const [levels, num_bits, observer, information] of [
  ['ternary', 2, 'memoryless_mse', '1.58'],
  ['binary', 2, 'absmean', '1'],
  ['six', 4, 'memoryless_minmax', '2.58'],
  ['power_of_two', 4, 'memoryless_minmax', '2.81'],
  ['power_of_two', 8, 'memoryless_minmax', '3.91'],
] as const)
  test(`levels ${levels} in ${num_bits} bits have a plan, and the editor says whose they are`, async () => {
    const tooFew = num_bits === 2 ? [['too-few-bits-for-method', 'warning']] : [];
    const result = await checked(`num_bits: ${num_bits}, levels: ${levels}, strategy: channel`);
    assert.deepEqual(
      result.problems.map(({ code, severity }) => [code, severity]),
      [...tooFew, ['levels-only-here', 'information']],
    );
    assert.match(
      result.problems.at(-1)?.message ?? '',
      new RegExp(`llm-compressor refuses .* says ${information} bits and takes ${num_bits}\\.`),
    );
    assert.equal(argsOf(result)?.levels, levels);
    assert.equal(argsOf(result)?.observer, observer);
    const every = await checked(`num_bits: ${num_bits}, strategy: channel`);
    assert.deepEqual(
      every.problems.map(({ code, severity }) => [code, severity]),
      tooFew,
    );
    assert.equal('levels' in (argsOf(every) ?? {}), false);
    assert.equal(result.plan?.estimate.weights_bytes_after, every.plan?.estimate.weights_bytes_after);
  });

for (const [weights, modifier, message, fix] of [
  ['num_bits: 3, levels: six', 'QuantizationModifier', /need num_bits 4 or more to be stored, and g has 3/, 'Change to 4'],
  ['num_bits: 1, levels: binary', 'QuantizationModifier', /need num_bits 2 or more/, 'Change to 2'],
  ['num_bits: 2, levels: power_of_two', 'QuantizationModifier', /need num_bits 3 or more/, 'Change to 3'],
  ['num_bits: 4, levels: ternary, symmetric: false', 'QuantizationModifier', /g has symmetric: false/, 'Change to true'],
  ['num_bits: 8, type: float, levels: ternary', 'QuantizationModifier', /g has type float/, 'Change to int'],
  ['num_bits: 4, levels: six', 'BeaconModifier', /BeaconModifier solves for integers one step apart, and levels six are not/, undefined],
  ['num_bits: 4, levels: binary', 'COMQModifier', /COMQModifier solves/, undefined],
  [
    'num_bits: 4, levels: six, observer: absmean',
    'QuantizationModifier',
    /absmean is for levels ternary and binary; with levels six/,
    undefined,
  ],
  ['num_bits: 4, observer: absmean', 'QuantizationModifier', /and g has none/, 'Change to memoryless_mse'],
] as const)
  test(`levels-not-for-scheme: ${modifier} with ${weights}`, async () => {
    const { problems, plan } = await checked(`${weights}, strategy: channel`, modifier);
    const found = problems.filter(({ code }) => code === 'levels-not-for-scheme');
    assert.equal(found.length, 1, JSON.stringify(problems));
    assert.equal(found[0]?.severity, 'error');
    assert.match(found[0]?.message ?? '', message);
    assert.equal(found[0]?.fixes?.[0]?.title, fix);
    assert.equal(plan, null);
  });

test('inputs have no levels', async () => {
  const { problems } = await checked(
    'num_bits: 8, strategy: channel',
    'QuantizationModifier',
    ', input_activations: {num_bits: 8, strategy: token, dynamic: true, levels: ternary}',
  );
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['levels-not-for-scheme'],
  );
  assert.equal(problems[0]?.fixes?.[0]?.title, 'Remove levels');
});

test('every solver takes ternary weights', async () => {
  for (const modifier of ['GPTQModifier', 'BeaconModifier', 'COMQModifier', 'GPFQModifier', 'QronosModifier', 'HQQModifier']) {
    const { problems, plan } = await checked('num_bits: 2, levels: ternary, strategy: channel', modifier);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['levels-only-here'],
      modifier,
    );
    assert.ok(plan, modifier);
  }
});

test('a name that is no set of levels is refused with the names that are', async () => {
  const { problems } = await checked('num_bits: 4, levels: five, strategy: channel');
  assert.ok(
    problems.some(({ message, severity }) => severity === 'error' && message.includes('ternary')),
    JSON.stringify(problems),
  );
});
