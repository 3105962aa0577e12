// Outline, folding and the size lens of a recipe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeLens } from '../../../server/src/features/code-lens.js';
import { documentSymbols, symbolsNamed } from '../../../server/src/features/document-symbols.js';
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

test('the lens tells sizes when there is a plan, and offers commands where the host has them', async () => {
  const { document, plan, problems } = await check(recipe);
  assert.notEqual(plan, null, JSON.stringify(problems));
  const [lens, ...more] = codeLens(document, plan, false);
  assert.deepEqual(more, []);
  assert.equal(lens?.range.start.line, 4);
  assert.match(
    lens?.title ?? '',
    /^14 of 16 layers: [\d.]+ kB → [\d.]+ kB \(8\.\d\d bits per quantized weight\), peak memory about [\d.]+ MB$/,
  );
  assert.deepEqual(
    codeLens(document, plan, true).map(({ action }) => action),
    ['quantize', 'showPlan', null],
  );
  assert.deepEqual(codeLens(document, null, true), []);
});

test('symbols are found by the letters of their names', () => {
  const found = (query: string): string[] => symbolsNamed(parseRecipe(recipe).document, query).map(({ name }) => name);
  assert.deepEqual(found('qmod'), ['quant_modifiers', 'QuantizationModifier']);
  assert.deepEqual(found('xyz'), []);
});
