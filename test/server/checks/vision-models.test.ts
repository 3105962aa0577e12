// Models of pictures, and others that have no code here to run them: convolutions are no matrices, and Conv1D keeps its own transposed.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { quickFixes } from '../../../server/src/features/code-actions.js';
import type { TinyModel } from '../../support/model-fixture.js';
import { applyEdits } from '../../support/recipe-features.js';
import { checkIn, inFolder, marked } from '../../support/recipe-fixture.js';

/** Names as transformers saves them; one block, without what a test does not need. */
const vit: TinyModel = {
  config: { architectures: ['ViTForImageClassification'], model_type: 'vit' },
  tensors: {
    'vit.embeddings.cls_token': [1, 1, 192],
    'vit.embeddings.position_embeddings': [1, 197, 192],
    'vit.embeddings.patch_embeddings.projection.weight': [192, 3, 4, 4],
    'vit.encoder.layer.0.attention.attention.query.weight': [192, 192],
    'vit.encoder.layer.0.attention.output.dense.weight': [192, 192],
    'vit.encoder.layer.0.intermediate.dense.weight': [768, 192],
    'vit.encoder.layer.0.output.dense.weight': [192, 768],
    'classifier.weight': [10, 192],
  },
};

const cnn: TinyModel = {
  config: {},
  tensors: {
    'conv1.weight': [8, 1, 3, 3],
    'conv2.weight': [64, 8, 3, 3],
    'conv3.weight': [64, 64, 3, 3],
    'wave.weight': [8, 1, 3],
    'fc1.weight': [32, 1024],
  },
};

const recipe = (fields: string): string => `
  model: model
  output: {dir: out}
  q_stage:
    q_modifiers:
      QuantizationModifier:
        scheme: W8A8
        ${fields}`;

test(
  'a target that names a convolution is told that it is no matrix, and nothing else is proposed',
  marked(
    `${recipe('targets: [Linear, Conv2d, "re:.*projection$", vit.embeddings.patch_embeddings.projection]')}
  #                       ^^^^^^ error target-matches-nothing: It names vit.embeddings.patch_embeddings.projection, whose weight has 4 dimensions, and only matrices are quantized here
  #                               ^^^^^^^^^^^^^^^^^^ error target-matches-nothing: 4 dimensions
  #                                                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error target-matches-nothing: 4 dimensions
  `,
    { model: vit },
  ),
);

test(
  'of a model that is mostly convolutions it is said that they stay',
  marked(
    `
  model: model
  output: {dir: out}
  q_stage:
    q_modifiers:
      QuantizationModifier: {scheme: W8A8, targets: [Linear]}
    # ^^^^^^^^^^^^^^^^^^^^ warning weights-not-matrices: 55.9 % of the model, 166.3 kB, stay as they are: conv1 (4 dimensions), conv2 (4 dimensions), conv3 (4 dimensions) and 1 more are no matrices
  `,
    { model: cnn },
  ),
);

const gpt2: TinyModel = {
  config: { architectures: ['GPT2LMHeadModel'], model_type: 'gpt2', tie_word_embeddings: true },
  tensors: {
    'transformer.wte.weight': [96, 64],
    'transformer.wpe.weight': [32, 64],
    'transformer.h.0.attn.c_attn.weight': [64, 192],
    'transformer.h.0.attn.c_proj.weight': [64, 64],
    'transformer.h.0.mlp.c_fc.weight': [64, 256],
    'transformer.h.0.mlp.c_proj.weight': [256, 64],
    'transformer.h.0.ln_1.weight': [64],
  },
};

test(
  'transposed weights of Conv1D are no linear layers, and that they stay is said',
  marked(
    `
  model: model
  output: {dir: out}
  q_stage:
    q_modifiers:
      QuantizationModifier:
    # ^^^^^^^^^^^^^^^^^^^^ warning weights-not-matrices: transformer.h.0.attn.c_attn (Conv1D), transformer.h.0.attn.c_proj (Conv1D), transformer.h.0.mlp.c_fc (Conv1D) and 1 more are kept transposed, and no modifier takes such weights
    # ^^^^^^^^^^^^^^^^^^^^ warning tied-lm-head-quantized: lm_head shares its 96 × 64 matrix with transformer.wte
        scheme: W8A8
        targets: [lm_head, Conv1D, "re:.*c_attn$"]
  #                        ^^^^^^ error target-matches-nothing: It names transformer.h.0.attn.c_attn and 3 more, whose weight is kept transposed (Conv1D of transformers)
  #                                ^^^^^^^^^^^^^^ error target-matches-nothing: kept transposed
  `,
    { model: gpt2 },
  ),
);

test('a patch embedding is too small a share to be told', marked(recipe('targets: [Linear]'), { model: vit }));

const told = (text: string, model = vit): Promise<string[]> =>
  inFolder({ model }, async (dir) => {
    rmSync(path.join(dir, 'model', 'tokenizer.json'));
    const { problems } = await checkIn(dir, `model: model\noutput: {dir: out}\n${text}`);
    return problems.map(({ code, path: at, message }) => `${code} at ${at.at(-1)}: ${message}`);
  });

test('all that would run the model is told at once, and not what would be wanting if it ran', async () => {
  const stage = 'q_stage: {q_modifiers: {SmoothQuantModifier: {smoothing_strength: 0.5}, GPTQModifier: {scheme: W8A8}}}';
  const problems = await told(`evaluate: {perplexity: {dataset: rows.jsonl}}\ncanary: {max_mean_kld: 1}\n${stage}`);
  assert.deepEqual(
    problems.map((problem) => problem.split(':')[0]),
    ['evaluate', 'canary', 'SmoothQuantModifier'].map((at) => `architecture-not-runnable at ${at}`),
    problems.join('\n'),
  );
  for (const problem of problems.slice(0, 2)) assert.match(problem, /Remove (evaluate|canary)\.$/);
});

test('the way out of a model that cannot be run is what comes nearest without data', async () => {
  for (const [modifiers, way] of [
    ['SparseGPTModifier: {sparsity: 0.5}', /Use MagnitudePruningModifier, which needs no data\.$/],
    ['GPTQModifier: {scheme: W8A8}', /scaled while the model runs, such as W8A8 or FP8_DYNAMIC\.$/],
    ['AWQModifier: {scheme: W4A16, ignore: ["re:.*"]}', /such as W4A16\.$/],
  ] as const) {
    const problems = await told(`q_stage: {q_modifiers: {${modifiers}}}`);
    const found = problems.filter((problem) => problem.startsWith('architecture-not-runnable'));
    assert.equal(found.length, 1, problems.join('\n'));
    assert.match(found[0] ?? '', way);
    assert.ok(!problems.some((problem) => problem.startsWith('calibration-missing')), problems.join('\n'));
  }
});

test('no GGUF of such a model: one error, also where config.json names no architecture and no embedding is there', async () => {
  for (const [model, name] of [
    [vit, 'its architecture ViTForImageClassification is none'],
    [cnn, 'its architecture, which config.json does not name, is none'],
  ] as const) {
    const problems = await told('q_stage: {q_modifiers: {GGUFModifier: {type: Q8_0}}}', model);
    const errors = problems.filter((problem) => !/^(gguf-type-falls-back|weights-not-matrices)/.test(problem));
    assert.equal(errors.length, 1, problems.join('\n'));
    assert.ok(errors[0]?.includes(name), errors[0]);
  }
});

test('groups that do not divide: the preset is written out with a size that does, and ignore takes no layer that fits', async () => {
  const text = `model: model
output: {dir: out}
q_stage:
  q_modifiers:
    QuantizationModifier:
      scheme: W4A16
      targets: [Linear, 're:.*dense$']
      ignore: [classifier]
`;
  await inFolder({ model: vit }, async (dir) => {
    const { problems, document } = await checkIn(dir, text);
    const [problem] = problems;
    assert.ok(problem);
    const [write, ignore] = quickFixes(document, problems, problem.range);
    assert.ok(write && ignore);
    assert.equal(write.title, 'Write config_groups with group_size 64, which divides all layers');
    assert.equal(ignore.title, 'Ignore query, attention.output.dense, intermediate.dense');
    const groups = applyEdits(document, write.edits);
    assert.equal(
      groups,
      text.replace(
        "scheme: W4A16\n      targets: [Linear, 're:.*dense$']",
        () =>
          "config_groups: {w4a16: {targets: [Linear, 're:.*dense$'], weights: {num_bits: 4, symmetric: true, strategy: group, group_size: 64}}}",
      ),
    );
    const written = await checkIn(dir, groups);
    assert.deepEqual(written.problems, []);
    assert.deepEqual(new Set(written.plan?.layers.map(({ scheme }) => scheme?.weights?.group_size)), new Set([undefined, 64]));
    const spared = await checkIn(dir, applyEdits(document, ignore.edits));
    assert.deepEqual(spared.problems, []);
    assert.deepEqual(
      spared.plan?.layers.filter(({ scheme }) => scheme !== null).map(({ name }) => name),
      ['vit.encoder.layer.0.output.dense'],
    );
  });
});
