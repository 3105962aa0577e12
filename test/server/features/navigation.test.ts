// Anchors, links, selection and colours of a recipe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionOfAlias, referencesOfAnchor, renamable, rename } from '../../../server/src/features/anchors.js';
import { documentLinks } from '../../../server/src/features/document-links.js';
import { selectionRanges } from '../../../server/src/features/selection-ranges.js';
import { semanticTokens } from '../../../server/src/features/semantic-tokens.js';
import { parseRecipe } from '../../../server/src/recipe/parse-recipe.js';
import { applyEdits, check, tinyModel, withCursor } from '../../support/recipe-features.js';

const anchored = `four: &bits
  num_bits: 4
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      config_groups:
        group_0: {targets: [Linear], weights: *bits}
        group_1: {targets: [lm_head], weights: *bi$0ts}
`;

const parsed = (marked: string) => {
  const { text, offset } = withCursor(marked);
  return { document: parseRecipe(text).document, text, offset };
};

test('an alias leads to its anchor, an anchor to its aliases', () => {
  const { document, offset } = parsed(anchored);
  assert.deepEqual(definitionOfAlias(document, offset)?.start, { line: 0, character: 7 });
  const lines = (withDefinition: boolean): number[] => referencesOfAnchor(document, offset, withDefinition).map(({ start }) => start.line);
  assert.deepEqual(lines(true), [0, 6, 7]);
  assert.deepEqual(lines(false), [6, 7]);
  assert.equal(definitionOfAlias(document, document.text.indexOf('Linear')), null);
});

test('rename changes an anchor with its aliases, and the name of a group', () => {
  const { document, offset, text } = parsed(anchored);
  const answer = rename(document, offset, 'four_bits');
  assert.ok('edits' in answer);
  assert.equal(applyEdits(document, answer.edits), text.replaceAll('&bits', '&four_bits').replaceAll('*bits', '*four_bits'));
  const group = text.indexOf('group_1') + 2;
  assert.equal(renamable(document, group)?.name, 'group_1');
  const named = rename(document, group, 'head');
  assert.ok('edits' in named);
  assert.equal(applyEdits(document, named.edits), text.replace('group_1', 'head'));
  assert.deepEqual(rename(document, group, 'group_0'), { refusal: 'group_0 is the name of another one already.' });
  assert.match(JSON.stringify(rename(document, offset, 'two words')), /is no name/);
  assert.equal(renamable(document, text.indexOf('Linear')), null);
});

test('a group whose name stands twice is renamed in both places, from either', () => {
  const text = 'config_groups: {g: {targets: [a]}}\nconfig_groups: {g: {targets: [b]}, g: {targets: [c]}}\n';
  const { document } = parseRecipe(text);
  for (const match of text.matchAll(/g: /g)) {
    assert.equal(renamable(document, match.index)?.range.start.character, document.positionAt(match.index).character);
    const answer = rename(document, match.index, 'h');
    assert.ok('edits' in answer);
    assert.equal(applyEdits(document, answer.edits), text.replaceAll('g: ', 'h: '));
  }
});

test('links lead to the model and the data that are there', async () => {
  const { resolution } = await check(
    'model: ./\ncalibration:\n  dataset: ./config.json\nevaluate:\n  perplexity:\n    dataset: gone.jsonl\n',
  );
  const { dir } = await tinyModel();
  assert.deepEqual(
    documentLinks(resolution).map(({ range, file }) => [range.start.line, file]),
    [
      [0, `${dir}/config.json`],
      [2, `${dir}/config.json`],
    ],
  );
});

test('a selection grows from the word to the document', () => {
  const { document, offset, text } = parsed('quant_stage:\n  quant_modifiers:\n    GPTQModifier:\n      ignore: [lm_$0head, q_proj]\n');
  const grown = selectionRanges(document, offset).map(({ start, end }) => text.slice(document.offsetAt(start), document.offsetAt(end)));
  assert.deepEqual(grown.slice(0, 4), [
    'lm_head',
    '[lm_head, q_proj]',
    'ignore: [lm_head, q_proj]',
    'GPTQModifier:\n      ignore: [lm_head, q_proj]',
  ]);
  assert.equal(grown.at(-1), text.trimEnd());
});

test('colours say what a word is', async () => {
  const { document } = parseRecipe(
    'quant_stage:\n  quant_modifiers:\n    GPTQModifier:\n      scheme: W4A16\n      targets: [Linear]\n      ignore: [lm_head, "re:.*down_proj", no_layer]\n',
  );
  const { description } = await tinyModel();
  const tokens = semanticTokens(document, description).map(({ range, type }) => [
    document.text.slice(document.offsetAt(range.start), document.offsetAt(range.end)),
    type,
  ]);
  assert.deepEqual(tokens, [
    ['quant_stage', 'namespace'],
    ['quant_modifiers', 'property'],
    ['GPTQModifier', 'class'],
    ['scheme', 'property'],
    ['W4A16', 'enumMember'],
    ['targets', 'property'],
    ['Linear', 'type'],
    ['ignore', 'property'],
    ['lm_head', 'variable'],
    ['"re:.*down_proj"', 'regexp'],
  ]);
});
