// Outline, folding and the size lens of a recipe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeLens } from '../../../server/src/features/code-lens.js';
import { documentSymbols } from '../../../server/src/features/document-symbols.js';
import { foldingRanges } from '../../../server/src/features/folding-ranges.js';
import { parseRecipe } from '../../../server/src/recipe/parse-recipe.js';
import { check } from '../../support/recipe-features.js';

const recipe = `model: ./
output:
  dir: ../out

quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W8A8
      ignore: [lm_head]
`;

test('the outline nests stages, groups and modifiers', () => {
  const symbols = documentSymbols(parseRecipe(recipe).document);
  assert.deepEqual(
    symbols.map(({ name, kind, detail }) => [name, kind, detail]),
    [
      ['model', 'field', './'],
      ['output', 'field', ''],
      ['quant_stage', 'stage', ''],
    ],
  );
  const modifier = symbols[2]?.children[0]?.children[0];
  assert.deepEqual(
    [modifier?.name, modifier?.kind, modifier?.selectionRange],
    ['QuantizationModifier', 'modifier', { start: { line: 6, character: 4 }, end: { line: 6, character: 24 } }],
  );
  assert.deepEqual(
    modifier?.children.map(({ name, detail }) => `${name}=${detail}`),
    ['scheme=W8A8', 'ignore=["lm_head"]'],
  );
});

test('mappings that span lines fold to their last line', () => {
  assert.deepEqual(
    foldingRanges(parseRecipe(recipe).document).map(({ startLine, endLine }) => [startLine, endLine]),
    [
      [1, 2],
      [4, 8],
      [5, 8],
      [6, 8],
    ],
  );
});

test('the lens tells sizes when there is a plan, and nothing else', async () => {
  const { document, plan, problems } = await check(recipe);
  assert.notEqual(plan, null, JSON.stringify(problems));
  const [lens] = codeLens(document, plan);
  assert.equal(lens?.range.start.line, 4);
  assert.match(lens?.title ?? '', /^14 of 16 layers: \d\.\d+ MB → \d\.\d+ MB \(8\.\d\d bits per quantized weight\)$/);
  assert.deepEqual(codeLens(document, null), []);
});
