// The other places that a problem speaks of: which ones, where they stand, and what is said of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from '../../support/recipe-features.js';

const recipe = (modifiers: string): string => `model: ./
output: {dir: ../out}
quant_stage:
  quant_modifiers:
${modifiers}`;

/** Each place as `text of the place: what is said of it`. */
async function placesOf(text: string, code: string): Promise<string[]> {
  const { document, problems } = await check(text);
  const problem = problems.find((candidate) => candidate.code === code);
  assert.ok(problem, `no ${code}; there are ${problems.map((other) => other.code).join(', ')}`);
  return (problem.related ?? []).map(({ range, message }) => {
    const place = document.text.slice(document.offsetAt(range.start), document.offsetAt(range.end));
    return `${range.start.line + 1} ${place}: ${message}`;
  });
}

const cases: { code: string; modifiers: string; places: string[] }[] = [
  {
    code: 'duplicate-key',
    modifiers: '    QuantizationModifier:\n      scheme: W8A8\n      scheme: W4A16\n      ignore: [lm_head]\n',
    places: ['6 scheme: scheme here is lost'],
  },
  {
    code: 'targets-overlap',
    modifiers: `    QuantizationModifier:
      config_groups:
        a: {targets: ['re:.*up_proj$', 're:.*_proj$'], weights: {num_bits: 8, strategy: channel}}
        b: {targets: ['re:.*down_proj$'], weights: {num_bits: 4, strategy: channel}}
`,
    places: ["7 're:.*_proj$': re:.*_proj$ of a wins"],
  },
  {
    code: 'targets-overlap',
    modifiers: '    QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}\n    GPTQModifier: {scheme: W8A16, ignore: [lm_head]}\n',
    places: ['5 QuantizationModifier: the work of this QuantizationModifier is lost there'],
  },
  {
    code: 'fused-siblings-differ',
    modifiers: "    QuantizationModifier:\n      scheme: W8A16\n      ignore: [lm_head, 're:.*k_proj$']\n",
    places: ['6 scheme: q_proj, v_proj: int8 g128', "7 're:.*k_proj$': k_proj: unquantized"],
  },
  {
    code: 'transform-after-quantizer',
    modifiers: '    GPTQModifier: {scheme: W8A8, ignore: [lm_head]}\n    SmoothQuantModifier: {}\n',
    places: ['5 GPTQModifier: GPTQModifier rounds the weights here'],
  },
  {
    code: 'awq-without-quantizer',
    modifiers: '    QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}\n    AWQModifier: {}\n',
    places: ['5 QuantizationModifier: QuantizationModifier stands in front of it'],
  },
  {
    code: 'scheme-and-config-groups-together',
    modifiers: '    QuantizationModifier:\n      scheme: W8A16\n      config_groups: {a: {targets: [Linear], weights: {num_bits: 8}}}\n',
    places: ['7 config_groups: config_groups stands here'],
  },
  {
    code: 'targets-without-effect',
    modifiers:
      '    QuantizationModifier:\n      targets: [q_proj]\n      config_groups: {a: {targets: [Linear], weights: {num_bits: 8}}}\n',
    places: ['7 config_groups: config_groups stands here'],
  },
  {
    code: 'observer-given-twice',
    modifiers: '    QuantizationModifier:\n      scheme: W8A16\n      weight_observer: minmax\n      observer: {weights: minmax}\n',
    places: ['7 weight_observer: weight_observer stands here'],
  },
  {
    code: 'actorder-given-twice',
    modifiers: `    GPTQModifier:
      actorder: static
      config_groups:
        a: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 32, actorder: group}}
`,
    places: ['8 group: "group" here'],
  },
  {
    code: 'smoothquant-without-activation-quantization',
    modifiers: '    SmoothQuantModifier: {}\n    GPTQModifier:\n      scheme: W8A16\n',
    places: ['7 scheme: W8A16 leaves inputs as they are'],
  },
];

for (const { code, modifiers, places } of cases)
  test(`${code}: ${places.join('; ')}`, async () => assert.deepEqual(await placesOf(recipe(modifiers), code), places));

test('output-inside-model-folder names the model', async () => {
  const text = recipe('    QuantizationModifier: {scheme: W8A16}\n').replace('../out', 'out');
  assert.deepEqual(await placesOf(text, 'output-inside-model-folder'), ['1 ./: the model is named here']);
});

test('a problem that speaks of one place has no others', async () => {
  assert.deepEqual(await placesOf(recipe('    QuantizationModifier: {scheme: W8A16, targets: [q_proj]}\n'), 'target-matches-nothing'), []);
});
