// Rotations that cannot be folded, each with its reason and what mends it; and those that can, of which nothing is said.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { checkRecipe } from '../../../server/src/checks/check-recipe.js';
import { tinyLlama, writeModel, type LlamaChanges } from '../../support/model-fixture.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

async function problemsOf(modifiers: string, changes: LlamaChanges = {}): Promise<{ code: string; message: string; fixes: string[] }[]> {
  const dir = temporaryFolder('rotation');
  writeModel(path.join(dir, 'model'), tinyLlama(changes));
  const text = `model: model\noutput: {dir: out}\nquant_stage:\n  quant_modifiers:\n${modifiers
    .split('\n')
    .map((line) => `    ${line}\n`)
    .join(
      '',
    )}    QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8, type: int, strategy: channel}}}}\n`;
  const { problems } = await checkRecipe(text, {
    recipePath: path.join(dir, 'a.quant.yaml'),
    baseDir: dir,
    files: nodeFiles,
    environment: {},
    describe: (folder) => describeModel(folder, nodeFiles),
  });
  return problems.map(({ code, message, fixes = [] }) => ({ code, message, fixes: fixes.map(({ title }) => title) }));
}

test('rotations that can be folded: nothing is said', async () => {
  for (const modifier of [
    'SpinQuantModifier: {}',
    'SpinQuantModifier: {rotations: [r1, R2], transform_type: random-hadamard}',
    'HadamardModifier: {}',
    'HadamardModifier: {rotations: [R1], transform_block_size: 32}',
  ])
    assert.deepEqual(await problemsOf(modifier), [], modifier);
  assert.deepEqual(await problemsOf('HadamardModifier: {}', { hidden: 96, keyValues: 48 }), []);
});

test('DuQuant turns blocks of any size that divides the width', async () => {
  for (const modifier of [
    'DuQuantModifier: {}',
    'DuQuantModifier: {block_size: 16, permutation: false}',
    'DuQuantModifier: {rotations: []}',
  ])
    assert.deepEqual(
      (await problemsOf(modifier, { hidden: 96, keyValues: 48 })).map(({ code }) => code),
      ['calibration-missing'],
      modifier,
    );
  const [fault] = (await problemsOf('DuQuantModifier: {block_size: 48}')).filter(({ code }) => code === 'rotation-cannot-fuse');
  assert.match(fault?.message ?? '', /hidden_size 64 is not a multiple of block_size 48. Give a divisor, such as 32/);
  assert.deepEqual(fault?.fixes, ['Set block_size: 32']);
  const nothing = await problemsOf('DuQuantModifier: {rotations: [], permutation: false}');
  assert.ok(nothing.some(({ code }) => code === 'modifier-without-effect'));
});

const refused: readonly [string, string, LlamaChanges, RegExp, string | undefined][] = [
  [
    'online rotations',
    'SpinQuantModifier: {rotations: [R1, R2, R4]}',
    {},
    /R4 is no rotation of weights alone.*Leave R1 and R2/,
    'Leave the rotations that are folded into weights',
  ],
  [
    'only online rotations',
    'SpinQuantModifier: {rotations: [R3]}',
    {},
    /R3 is no rotation of weights alone/,
    'Leave the rotations that are folded into weights',
  ],
  [
    'a matrix that is not orthogonal',
    'SpinQuantModifier: {transform_type: random-matrix}',
    {},
    /not orthogonal.*Use random-hadamard/,
    'Set transform_type: random-hadamard',
  ],
  [
    'Sylvester for 96',
    'SpinQuantModifier: {rotations: [R1]}',
    { hidden: 96, keyValues: 48 },
    /powers of two alone, and hidden_size 96 is none: llm-compressor fails/,
    'Set transform_type: random-hadamard',
  ],
  [
    'a hidden size without a matrix',
    'HadamardModifier: {rotations: [R1]}',
    { hidden: 8 * 39, keyValues: 4 * 39 },
    /no Hadamard matrix for hidden_size 312.*transform_block_size: 156|no Hadamard matrix for hidden_size 312.*transform_block_size: 104/,
    'Set transform_block_size: 104',
  ],
  [
    'heads without a matrix',
    'HadamardModifier: {}',
    { hidden: 8 * 6, keyValues: 4 * 6 },
    /no Hadamard matrix for head_dim 6.*Leave R2 out/,
    'Set rotations: [R1]',
  ],
  [
    'a block that does not divide',
    'HadamardModifier: {transform_block_size: 48}',
    {},
    /hidden_size 64 is not a multiple of transform_block_size 48\. Give a divisor, such as 64/,
    undefined,
  ],
  [
    'layers that are not known',
    'HadamardModifier: {}',
    { config: { architectures: ['MysteryForCausalLM'], model_type: 'mystery' } },
    /the layers of MysteryForCausalLM are not known here/,
    undefined,
  ],
];

for (const [name, modifier, changes, message, fix] of refused)
  test(`rotation-cannot-fuse or rotation-not-runnable-yet: ${name}`, async () => {
    const problems = (await problemsOf(modifier, changes)).filter(({ code }) => code.startsWith('rotation-'));
    assert.equal(problems.length, 1, JSON.stringify(problems));
    assert.equal(problems[0]!.code, name.includes('online') ? 'rotation-not-runnable-yet' : 'rotation-cannot-fuse');
    assert.match(problems[0]!.message, message);
    assert.equal(problems[0]!.fixes[0], fix);
  });

test('two modifiers that rotate: the second is refused', async () => {
  const problems = await problemsOf('SpinQuantModifier: {}\nHadamardModifier: {}');
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['rotation-cannot-fuse'],
  );
  assert.match(problems[0]!.message, /^HadamardModifier: the weights are rotated by an earlier modifier already/);
});

test('no rotations: modifier-without-effect', async () => {
  const problems = await problemsOf('HadamardModifier: {rotations: []}');
  assert.deepEqual(
    problems.map(({ code, fixes }) => [code, fixes[0]]),
    [['modifier-without-effect', 'Remove rotations']],
  );
});

test('a tied head: rotation-unties-head says what the file grows by, and not for R2 alone', async () => {
  const tied = { config: { tie_word_embeddings: true } };
  const [problem] = (await problemsOf('HadamardModifier: {}', tied)).filter(({ code }) => code === 'rotation-unties-head');
  assert.match(problem?.message ?? '', /shares its 32 × 64 matrix with model\.embed_tokens.*grows by 8\.2 kB/);
  assert.deepEqual(
    (await problemsOf('HadamardModifier: {rotations: [R2]}', tied)).filter(({ code }) => code === 'rotation-unties-head'),
    [],
  );
});

test('QuIP is refused with its reason', async () => {
  const [problem] = await problemsOf('QuIPModifier: {}');
  assert.equal(problem?.code, 'modifier-not-runnable-yet');
  assert.match(problem.message, /turn the inputs and outputs of linears while the model runs/);
});
