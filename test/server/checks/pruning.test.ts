// Pruning on the recipe line: which layers a plan prunes and by how much, and what cannot be; of recipes that are right nothing is said.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PrunerPlan } from '../../../schemas/src/generated/plan.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { checkIn, inFolder, type RecipeSetting } from '../../support/recipe-fixture.js';

interface Found {
  problems: { code: string; severity: string; message: string; fixes: string[] }[];
  pruning: PrunerPlan[] | null;
}

const told = (problems: Found['problems']): string[] => problems.map(({ code, severity }) => `${severity} ${code}`).sort();

function check(modifiers: readonly string[], setting: RecipeSetting = {}): Promise<Found> {
  return inFolder(setting, async (dir) => {
    const body = modifiers.map((one) => `    ${one}\n`).join('');
    const data = modifiers.some((one) => /SparseGPT|Wanda|GPTQ|Beacon/.test(one)) ? 'calibration: {dataset: rows.jsonl}\n' : '';
    const { problems, plan } = await checkIn(dir, `model: model\n${data}output: {dir: out}\nquant_stage:\n  quant_modifiers:\n${body}`);
    return {
      problems: problems.map(({ code, severity, message, fixes = [] }) => ({
        code,
        severity,
        message,
        fixes: fixes.map(({ title }) => title),
      })),
      pruning: plan?.pruning ?? null,
    };
  });
}

const where = "targets: [Linear], ignore: ['re:.*lm_head']";
const w8 = 'ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}}';
const rolesOf = ({ layers }: PrunerPlan): string[] => [...new Set(layers.map(({ name }) => name.slice(name.lastIndexOf('.') + 1)))];

test('recipes that are right: nothing is said, and every linear layer but the head is pruned', async () => {
  for (const modifiers of [
    [`SparseGPTModifier: {sparsity: 0.5, mask_structure: '2:4', ${where}}`],
    [`SparseGPTModifier: {sparsity: 0.5, block_size: 64, dampening_frac: 0.05, preserve_sparsity_mask: true, ${where}}`],
    [`WandaPruningModifier: {sparsity: 0.3, ${where}}`, `GPTQModifier: {${w8}}`],
    [`WandaPruningModifier: {sparsity: 0.5, sparsity_profile: owl, owl_m: 5, owl_lmbda: 0.08, ${where}}`],
    [`SparseGPTModifier: {sparsity: 0.5, ${where}}`, `QuantizationModifier: {${w8}}`],
    [`SparseGPTModifier: {sparsity: 0.5, ${where}}`, `HQQModifier: {${w8}}`],
  ]) {
    const { problems, pruning } = await check(modifiers);
    assert.deepEqual(problems, [], modifiers.join('\n'));
    assert.equal(pruning?.length, 1);
    assert.equal(pruning[0]?.layers.length, 14);
    assert.deepEqual(rolesOf(pruning[0]).sort(), ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj']);
  }
});

test('a list of sparsities counts by the modules that targets name, in the order of the model', async () => {
  const blocks = await check([`WandaPruningModifier: {sparsity: [0.25, 0.75], targets: ['re:model\\.layers\\.\\d+$']}`]);
  assert.deepEqual(blocks.problems, []);
  const shares = blocks.pruning?.[0]?.layers.map(({ name, sparsity }) => `${name.split('.')[2]} ${sparsity}`) ?? [];
  assert.deepEqual([...new Set(shares)], ['0 0.25', '1 0.75']);
  const roles = await check(["SparseGPTModifier: {sparsity: [0.1, 0.2, 0.3, 0.4], targets: ['re:.*up_proj', 're:.*q_proj']}"]);
  assert.deepEqual(
    roles.pruning?.[0]?.layers.map(({ name, sparsity }) => `${name} ${sparsity}`),
    [
      'model.layers.0.self_attn.q_proj 0.1',
      'model.layers.0.mlp.up_proj 0.2',
      'model.layers.1.self_attn.q_proj 0.3',
      'model.layers.1.mlp.up_proj 0.4',
    ],
  );
});

test('n of m is its own share, and ignore compares as llm-compressor does', async () => {
  const { problems, pruning } = await check([
    "WandaPruningModifier: {sparsity: 0.9, mask_structure: '1:4', targets: [LlamaMLP], ignore: ['re:.*down_proj']}",
  ]);
  assert.deepEqual(problems, []);
  const [plan] = pruning ?? [];
  assert.ok(plan && plan.name === 'wanda');
  assert.deepEqual(plan.mask_structure, { n: 1, m: 4 });
  assert.ok(plan.layers.every(({ sparsity }) => sparsity === 0.25));
  assert.deepEqual(rolesOf(plan).sort(), ['gate_proj', 'up_proj']);
});

test('mask-structure-does-not-fit: the layer with its shape, and ignore where others fit', async () => {
  const all = await check([`SparseGPTModifier: {sparsity: 0.5, mask_structure: '3:5', ${where}}`]);
  assert.deepEqual(told(all.problems), ['error mask-structure-does-not-fit']);
  assert.match(
    all.problems[0]?.message ?? '',
    /groups of 5, which do not divide the \d+ columns of model\.layers\.0\.\w+\.\w+ \(\d+ × \d+\) and 13 more/,
  );
  assert.deepEqual(all.problems[0]?.fixes, []);
  const some = await check([`WandaPruningModifier: {sparsity: 0.5, mask_structure: '2:32', ${where}}`], {
    model: tinyLlama({ intermediate: 176 }),
  });
  assert.deepEqual(told(some.problems), ['error mask-structure-does-not-fit']);
  assert.match(
    some.problems[0]?.message ?? '',
    /do not divide the 176 columns of model\.layers\.0\.mlp\.down_proj \(64 × 176\) and 1 more/,
  );
  assert.deepEqual(some.problems[0]?.fixes, ['Ignore down_proj']);
  const much = await check([`SparseGPTModifier: {sparsity: 0.5, mask_structure: '4:4', ${where}}`]);
  assert.match(much.problems[0]?.message ?? '', /sets 4 of every 4 inputs to zero, which leaves nothing/);
  const channel = await check([
    `MagnitudePruningModifier: {targets: ['re:.*_proj'], init_sparsity: 0, final_sparsity: 0.5, mask_structure: channel}`,
  ]);
  assert.deepEqual(told(channel.problems), ['error mask-structure-does-not-fit', 'information training-modifier']);
});

test('pruning-after-quantizer and zeros-not-kept: only where both work on one layer', async () => {
  const pruner = `WandaPruningModifier: {sparsity: 0.5, ${where}}`;
  const after = await check([`QuantizationModifier: {${w8}}`, pruner]);
  assert.deepEqual(told(after.problems), ['error pruning-after-quantizer']);
  const apart = await check([
    "QuantizationModifier: {config_groups: {g: {targets: ['re:.*mlp'], weights: {num_bits: 8, strategy: channel}}}}",
    "WandaPruningModifier: {sparsity: 0.5, targets: ['re:.*self_attn$']}",
  ]);
  assert.deepEqual(apart.problems, []);
  for (const modifier of ['COMQModifier', 'GPFQModifier', 'QronosModifier'])
    assert.deepEqual((await check([pruner, `${modifier}: {${w8}}`])).problems, [], modifier);
  const filled = await check([pruner, `BeaconModifier: {${w8}}`]);
  assert.deepEqual(told(filled.problems), ['error zeros-not-kept']);
  assert.match(
    filled.problems[0]?.message ?? '',
    /would fill the zeros that WandaPruningModifier makes in model\.layers\.0\.self_attn\.q_proj and 13 more layers/,
  );
});

test('nothing-pruned, target-matches-nothing and field-missing: what would be silent or stop late', async () => {
  const ignored = await check(["WandaPruningModifier: {sparsity: 0.5, targets: [Linear], ignore: ['re:.*_proj', 're:.*lm_head']}"]);
  assert.deepEqual(told(ignored.problems), ['error nothing-pruned']);
  const parameters = await check(["MagnitudePruningModifier: {targets: ['re:.*_proj.weight$'], init_sparsity: 0, final_sparsity: 0.5}"]);
  assert.deepEqual(told(parameters.problems), ['error target-matches-nothing', 'information training-modifier']);
  assert.match(parameters.problems.map(({ message }) => message).join(' '), /leave out \.weight/);
  const none = await check([`SparseGPTModifier: {sparsity: null, ${where}}`]);
  assert.deepEqual(told(none.problems), ['error field-missing']);
  const owl = await check([
    `WandaPruningModifier: {sparsity: 0.5, mask_structure: '2:4', sparsity_profile: owl, owl_m: 5, owl_lmbda: 0.1, ${where}}`,
  ]);
  assert.deepEqual(told(owl.problems), ['warning field-without-effect']);
  assert.deepEqual(owl.problems[0]?.fixes, ['Remove OWL']);
  const damping = await check([`SparseGPTModifier: {sparsity: 0.5, dampening_frac: null, ${where}}`]);
  assert.deepEqual(told(damping.problems), ['error unknown-value']);
  const beyond = await check(["MagnitudePruningModifier: {targets: ['re:.*_proj'], init_sparsity: 0, final_sparsity: 1.5}"]);
  assert.deepEqual(told(beyond.problems), ['error value-out-of-range', 'information training-modifier']);
});

test('training-modifier says what one shot makes of it; modifier-without-effect where a mask has nothing to keep zeros from', async () => {
  const magnitude = await check(["MagnitudePruningModifier: {targets: ['re:.*_proj'], init_sparsity: 0, final_sparsity: 0.5}"]);
  assert.deepEqual(told(magnitude.problems), ['information training-modifier']);
  assert.match(magnitude.problems[0]?.message ?? '', /oneshot leaves the weights as they are.*Bitwright prunes to final_sparsity at once/);
  assert.equal(magnitude.pruning?.[0]?.layers[0]?.sparsity, 0.5);
  const kept = await check(["ConstantPruningModifier: {targets: ['re:.*_proj']}", `QuantizationModifier: {${w8}}`]);
  assert.deepEqual(told(kept.problems), ['information training-modifier']);
  const idle = await check(["ConstantPruningModifier: {targets: ['re:.*_proj']}"]);
  assert.deepEqual(told(idle.problems), ['information training-modifier', 'warning modifier-without-effect']);
});

test('tied-lm-head-pruned: the head among the targets of a model whose matrix is the embedding', async () => {
  const { config, tensors } = tinyLlama();
  const { 'lm_head.weight': _head, ...others } = tensors;
  const model = { config: { ...config, tie_word_embeddings: true }, tensors: others };
  const tied = await check(['WandaPruningModifier: {sparsity: 0.5}'], { model });
  assert.deepEqual(told(tied.problems), ['warning tied-lm-head-pruned']);
  assert.deepEqual(tied.problems[0]?.fixes, ['Ignore lm_head']);
  assert.deepEqual((await check([`WandaPruningModifier: {sparsity: 0.5, ${where}}`], { model })).problems, []);
});
