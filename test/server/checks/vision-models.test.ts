// Models of pictures: convolutions are no matrices, and what runs a model has no code for them.
import { test } from 'node:test';
import type { TinyModel } from '../../support/model-fixture.js';
import { marked } from '../../support/recipe-fixture.js';

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

test('a patch embedding is too small a share to be told', marked(recipe('targets: [Linear]'), { model: vit }));
