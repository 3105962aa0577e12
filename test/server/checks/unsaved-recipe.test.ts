// A recipe that is not saved: relative paths mean nothing yet, absolute ones do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { checkRecipe } from '../../../server/src/checks/check-recipe.js';
import { tinyModel } from '../../support/recipe-features.js';

const unsaved = (text: string) =>
  checkRecipe(text, {
    recipePath: null,
    baseDir: null,
    files: nodeFiles,
    environment: {},
    describe: (folder) => describeModel(folder, nodeFiles),
  });

const recipe = (model: string, dataset: string): string => `model: ${model}
calibration:
  dataset: ${dataset}
output:
  dir: out
quant_stage:
  quant_modifiers:
    GPTQModifier:
      scheme: W8A8
      ignore: [no_such_layer]
`;

test('relative paths are not looked up: one hint says why, and there is no plan', async () => {
  const { problems, plan } = await unsaved(recipe('models/mine', 'rows.jsonl'));
  assert.deepEqual(
    problems.map(({ code, severity }) => [code, severity]),
    [['recipe-not-saved', 'hint']],
  );
  assert.equal(plan, null);
});

test('with an absolute model the layers are known; what else is relative gives no plan and no false alarm', async () => {
  const { dir } = await tinyModel();
  const { problems, plan } = await unsaved(recipe(dir, 'rows.jsonl'));
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['ignore-matches-nothing'],
  );
  assert.equal(plan, null);
});
