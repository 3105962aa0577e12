// A recipe of llm-compressor says neither output nor data: it is checked against a model without an error, and yields no plan.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { locateModel } from '../../../schemas/src/model/hub-cache.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import type { CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const plainGptq = 'q_stage: {q_modifiers: {GPTQModifier: {scheme: W8A8, ignore: [lm_head]}}}';

const listed = ({ problems }: CheckedRecipe): string[] => problems.map(({ severity, code }) => `${severity} ${code}`);

test('with --model alone: what is missing is information', () =>
  inFolder({}, async (dir) => {
    const checked = await checkIn(dir, plainGptq, { overrides: { model: path.join(dir, 'model') } });
    assert.deepEqual(listed(checked).sort(), ['information calibration-missing', 'information output-dir-missing']);
    assert.equal(checked.plan, null);
  }));

test('with --model, --out and --dataset it is a plan', () =>
  inFolder({}, async (dir) => {
    const model = path.join(dir, 'model');
    const checked = await checkIn(dir, plainGptq, {
      overrides: { model, output_dir: path.join(dir, 'out'), dataset: path.join(dir, 'rows.jsonl') },
    });
    assert.deepEqual(listed(checked), []);
    assert.equal(checked.plan?.output.dir, path.join(dir, 'out'));
  }));

test('with --out and without data it would fail: an error', () =>
  inFolder({}, async (dir) => {
    const checked = await checkIn(dir, plainGptq, { overrides: { model: path.join(dir, 'model'), output_dir: path.join(dir, 'out') } });
    assert.deepEqual(listed(checked), ['error calibration-missing']);
  }));

test('in the editor, with a model: the same', () =>
  inFolder({}, async (dir) => {
    assert.deepEqual(listed(await checkIn(dir, `model: model\n${plainGptq}`)).sort(), [
      'information calibration-missing',
      'information output-dir-missing',
    ]);
  }));

test('a model that is not found: the words fit the place where it is named', async () => {
  const find = async (model: string, namedIn: 'recipe' | 'command'): Promise<string> => {
    const answer = await locateModel(model, '/nowhere', nodeFiles, { HF_HUB_CACHE: '/nowhere/hub' }, namedIn);
    return 'error' in answer ? answer.error : answer.dir;
  };
  assert.match(
    await find('a b', 'recipe'),
    /^There is no folder \/nowhere\/a b\. Give the path of a model folder, relative to the recipe, or a hub id/,
  );
  assert.match(await find('a b', 'command'), /^There is no folder \/nowhere\/a b\. Give the path of a model folder or a hub id/);
  assert.match(await find('a/b', 'recipe'), /^a\/b is neither a folder beside the recipe nor in the local Hugging Face cache/);
  assert.match(await find('a/b', 'command'), /^a\/b is neither a folder in \/nowhere nor in the local Hugging Face cache/);
});
