// Anchors, links, selection and colours of a recipe.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { LspRange } from '../../support/language-server.js';
import { definitionOfAlias, referencesOfAnchor, renamable, rename } from '../../../server/src/features/anchors.js';
import { definitions, references } from '../../../server/src/features/definition.js';
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

const rules = (entry: string): string => `model: ./
output: {dir: ../out}
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      config_groups:
        a: {targets: [Linear], weights: {num_bits: 8}}
        b: {targets: ['re:.*q_proj$'], weights: {num_bits: 4}}
      ignore: [model.layers.0.mlp.up_proj]
    GPTQModifier: {scheme: W8A16, targets: [${entry}], ignore: ['re:.*layers.0.*', lm_head]}
`;

/** The texts that definition and references lead to. */
async function led(marked: string): Promise<{ definition: string[]; references: string[] }> {
  const { text, offset } = withCursor(marked);
  const { resolution, document } = await check(text);
  const said = ({ start, end }: LspRange): string => `${start.line + 1} ${text.slice(document.offsetAt(start), document.offsetAt(end))}`;
  return {
    definition: definitions(resolution, offset).map((found) => ('file' in found ? path.basename(found.file) : said(found.range))),
    references: references(resolution, offset, true).map(said),
  };
}

test('a layer leads to the rule that it gets its scheme from, and to every entry that names it', async () => {
  assert.deepEqual(await led(rules('model.layers.0.self_attn.q_$0proj')), {
    definition: ["8 're:.*q_proj$'"],
    references: ['7 Linear', "8 're:.*q_proj$'", '10 model.layers.0.self_attn.q_proj', "10 're:.*layers.0.*'"],
  });
  const ignored = await led(rules('Linear').replace('mlp.up_proj', 'mlp.up_$0proj'));
  assert.deepEqual(ignored.definition, ["10 're:.*layers.0.*'"]);
});

test('a pattern leads to all rules that its layers come from', async () => {
  const { definition } = await led(rules("'re:.*q_$0proj'"));
  assert.deepEqual(definition, ["8 're:.*q_proj$'", "10 're:.*q_proj'"]);
});

test('default targets lead to their scheme', async () => {
  const marked = rules('Linear').replace(', targets: [Linear], ignore: [', ', ignore: [model.layers.1.mlp.up_$0proj, ');
  assert.deepEqual((await led(marked)).definition, ['7 Linear']);
  assert.deepEqual(
    (await led('model: ./\nq_stage:\n  q_modifiers:\n    QuantizationModifier: {scheme: W8A16, mappings: [lm_$0head]}\n')).definition,
    ['4 W8A16'],
  );
});

test('a path leads to its file, a key and a value that names nothing to nothing', async () => {
  assert.deepEqual((await led('model: .$0/\n')).definition, ['config.json']);
  assert.deepEqual((await led('model: ./\ncalibration: {dataset: config.j$0son}\n')).definition, ['config.json']);
  assert.deepEqual((await led('model: ./\ncalibration: {dataset: gone.j$0sonl}\n')).definition, []);
  assert.deepEqual(await led('mo$0del: ./\n'), { definition: [], references: [] });
  assert.deepEqual(await led(rules('no_such_$0layer')), { definition: [], references: [] });
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
