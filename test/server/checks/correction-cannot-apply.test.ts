// Corrections that have no place in a model, each with its reason and what mends it; and those that have one, of which nothing is said.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { checkRecipe } from '../../../server/src/checks/check-recipe.js';
import { tinyLlama, writeModel, type TinyModel } from '../../support/model-fixture.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';
import { writeFileSync } from 'node:fs';

const channel = '{ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, type: int, strategy: channel}}}}';

interface Found {
  told: { code: string; message: string; fixes: string[] }[];
  plan: QuantizationPlan | null;
}

async function check(modifiers: string, model: TinyModel = tinyLlama(), scheme = channel): Promise<Found> {
  const dir = temporaryFolder('correction');
  writeFileSync(path.join(writeModel(path.join(dir, 'model'), model), 'tokenizer.json'), '{}');
  writeFileSync(path.join(dir, 'rows.jsonl'), `${JSON.stringify({ text: 'a word' })}\n`.repeat(200));
  const text = `model: model\ncalibration: {dataset: rows.jsonl}\noutput: {dir: out}\nquant_stage:\n  quant_modifiers:\n    QuantizationModifier: ${scheme}\n    ${modifiers}\n`;
  const { problems, plan } = await checkRecipe(text, {
    recipePath: path.join(dir, 'a.quant.yaml'),
    baseDir: dir,
    files: nodeFiles,
    environment: {},
    describe: (folder) => describeModel(folder, nodeFiles),
  });
  const said = problems.filter(({ code }) => code !== 'calibration-without-effect');
  return { told: said.map(({ code, message, fixes = [] }) => ({ code, message, fixes: fixes.map(({ title }) => title) })), plan };
}

const named = (architecture: string, model_type: string, biased: readonly string[] = []): TinyModel => {
  const model = tinyLlama({ config: { architectures: [architecture], model_type } });
  const tensors = { ...model.tensors };
  for (const [name, shape] of Object.entries(model.tensors))
    if (biased.some((role) => name.endsWith(`${role}.weight`))) tensors[name.replace(/weight$/, 'bias')] = [shape[0]!];
  return { ...model, tensors };
};

test('corrections with a place: nothing is said', async () => {
  for (const modifier of [
    'BiasCorrectionModifier: {}',
    "BiasCorrectionModifier: {targets: ['re:.*mlp.*'], ignore: ['re:.*up_proj$']}",
    'VarianceCorrectionModifier: {}',
    'VarianceCorrectionModifier: {statistic: outputs}',
  ])
    assert.deepEqual((await check(modifier)).told, [], modifier);
  const qwen = named('Qwen2ForCausalLM', 'qwen2', ['q_proj', 'k_proj', 'v_proj']);
  assert.deepEqual((await check("BiasCorrectionModifier: {targets: ['re:.*[qkv]_proj$']}", qwen)).told, []);
});

test('biases of a Llama: what is new stands in the plan, with its switches', async () => {
  const { plan } = await check("BiasCorrectionModifier: {targets: ['re:.*up_proj$']}");
  const [bias] = plan?.transforms ?? [];
  assert.ok(bias?.name === 'bias-correction');
  assert.deepEqual(bias.switches, ['mlp_bias']);
  assert.deepEqual(bias.layers, ['model.layers.0.mlp.up_proj', 'model.layers.1.mlp.up_proj']);
  // The switch gives one to every linear of the MLPs.
  assert.equal(bias.added.length, 6);
  const qwen = named('Qwen2ForCausalLM', 'qwen2', ['q_proj', 'k_proj', 'v_proj']);
  const [other] = (await check("BiasCorrectionModifier: {targets: ['re:.*q_proj$']}", qwen)).plan?.transforms ?? [];
  assert.ok(other?.name === 'bias-correction');
  assert.deepEqual([other.switches, other.added], [[], []]);
});

const refused: readonly [string, Promise<Found>, RegExp, string | undefined][] = [
  [
    'Qwen2 has biases on q, k and v alone',
    check('BiasCorrectionModifier: {}', named('Qwen2ForCausalLM', 'qwen2', ['q_proj', 'k_proj', 'v_proj'])),
    /Qwen2ForCausalLM has no bias on down_proj, gate_proj, up_proj, o_proj.*8 of 14 layers/,
    'Leave down_proj, gate_proj, up_proj, o_proj out',
  ],
  [
    'Mistral has none',
    check('BiasCorrectionModifier: {}', named('MistralForCausalLM', 'mistral')),
    /has no bias on .*Remove it/,
    undefined,
  ],
  [
    'a head has none',
    check('BiasCorrectionModifier: {}', tinyLlama(), channel.replace('ignore: [lm_head], ', '')),
    /no bias on lm_head/,
    'Leave lm_head out',
  ],
  [
    'nothing that it names is quantized',
    check("VarianceCorrectionModifier: {targets: ['re:.*lm_head$']}"),
    /none that its targets name \(re:\.\*lm_head\$\) is quantized/,
    undefined,
  ],
  ['a pattern that is none', check("VarianceCorrectionModifier: {targets: ['re:(']}"), /re:\( is no pattern/, undefined],
  [
    'a scale for a whole tensor',
    check('VarianceCorrectionModifier: {}', tinyLlama(), channel.replace('strategy: channel', 'strategy: tensor')),
    /has scales with strategy tensor/,
    undefined,
  ],
  [
    'scales that are powers of two',
    check('VarianceCorrectionModifier: {}', tinyLlama({ intermediate: 192 }), '{ignore: [lm_head], scheme: MXFP4A16}'),
    /scales of type uint8/,
    undefined,
  ],
];

for (const [name, found, expected, fix] of refused)
  test(name, async () => {
    const problems = (await found).told.filter(({ code }) => code === 'correction-cannot-apply');
    assert.equal(problems.length, 1, JSON.stringify((await found).told));
    assert.match(problems[0]!.message, expected);
    assert.deepEqual(problems[0]!.fixes, fix === undefined ? [] : [fix]);
    assert.equal((await found).plan, null);
  });

test('adapters that together have a rank that vLLM does not load', async () => {
  const both = (rank: number): string => `LowRankResidualModifier: {rank: ${rank}}\n    OutlierSplitModifier: {max_columns: 256}`;
  const fine = await check(both(256));
  assert.deepEqual(fine.told, []);
  const { told, plan } = await check(both(300));
  assert.equal(plan, null);
  assert.deepEqual(
    told.map(({ code }) => code),
    ['correction-cannot-apply'],
  );
  assert.match(told[0]?.message ?? '', /^OutlierSplitModifier: with the adapters above the folder would have rank 556/);
});

test('NF4 has no scale of a channel that could take a factor', async () => {
  const dir = temporaryFolder('correction');
  writeModel(path.join(dir, 'model'), tinyLlama());
  const text =
    'model: model\noutput: {dir: out}\nquant_stage:\n  quant_modifiers:\n    BitsAndBytesModifier: {ignore: [lm_head]}\n    VarianceCorrectionModifier: {}\n';
  const { problems } = await checkRecipe(text, {
    recipePath: path.join(dir, 'a.quant.yaml'),
    baseDir: dir,
    files: nodeFiles,
    environment: {},
    describe: (folder) => describeModel(folder, nodeFiles),
  });
  assert.match(
    problems.map(({ code, message }) => `${code} ${message}`).join('\n'),
    /correction-cannot-apply VarianceCorrectionModifier: .* has the 8-bit magnitudes of bitsandbytes/,
  );
});
