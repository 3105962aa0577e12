// The few lines that completion reads must say the same of a place as the whole recipe.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { findCursors } from '../../../server/src/features/recipe-cursor.js';
import { surroundingsOf } from '../../../server/src/features/recipe-surroundings.js';
import { parseRecipe, parseValue } from '../../../server/src/recipe/parse-recipe.js';
import { repositoryRoot } from '../../support/shared.js';
import { withCursor } from '../../support/recipe-features.js';
import { readTable } from '../verdicts/table.js';

const near = (marked: string): string | null => {
  const { text, offset } = withCursor(marked);
  const found = surroundingsOf(text, offset);
  return found && `${found.text.slice(0, found.offset)}$0${found.text.slice(found.offset)}`.trimEnd();
};

test('ancestors, the keys beside the cursor and the items before it are read, and nothing else', () => {
  assert.equal(
    near(`model: m
output:
  dir: out
quant_stage:
  quant_modifiers:
    GPTQModifier:
      ignore:
        - lm_head
      config_groups:
        a:
          targets:
            - Linear
          weights:
            num_bits: 4
        b:
          targets:
          - re:.*k_proj
          - q$0
          weights:
            num_bits: 8
    SmoothQuantModifier: {}
`),
    `quant_stage:
  quant_modifiers:
    GPTQModifier:
      config_groups:
        b:
          targets:
          -
          - q$0`,
  );
  assert.equal(
    near(`a:
  - name: x
    list:
      - 1
    nu$0
    other: 3
    more:
      deep: 1
b: 2
`),
    `a:
  - name:
    list:
    nu$0
    other:
    more:`,
  );
});

test('where indentation alone does not tell, the whole text is read', () => {
  for (const marked of [
    '{"model": "m",\n  "out$0"',
    'a: [1,\n  2,\n  q$0]\n',
    'a: |\n  text\n  more$0\n',
    '---\nmodel: m$0\n---\n# Title\n',
    'a: &x\n  b$0: 1\n',
    'a:\n\t- b$0\n',
  ])
    assert.equal(near(marked), null, marked);
});

const step = 8;

test(`of every ${step}th place in every well-formed recipe both say the same`, () => {
  const examples = path.join(repositoryRoot, 'examples');
  const texts = [
    ...readdirSync(examples)
      .filter((name) => name.endsWith('.quant.yaml'))
      .map((name) => readFileSync(path.join(examples, name), 'utf8')),
    ...readTable().flatMap(({ cases }) => cases.map(({ recipe }) => recipe)),
  ].filter(isYaml);
  let read = 0;
  let places = 0;
  // All of them take half a minute; each text begins elsewhere.
  for (const [index, text] of texts.entries())
    for (let offset = index % step; offset <= text.length; offset += step) {
      // What a word there, alone or as a key, makes ill-formed has no place to agree on.
      const isWellFormed = (word: string): boolean => isYaml(text.slice(0, offset) + word + text.slice(offset));
      if (!isWellFormed('word')) continue;
      places += 1;
      const found = surroundingsOf(text, offset);
      if (found === null) continue;
      read += 1;
      const [ours, whole] = [found, { text, offset }].map((place) => cursorsAt(place.text, place.offset));
      assert.deepEqual(ours, whole, `${text.slice(0, offset)}▮${text.slice(offset)}\n--- read:\n${found.text}`);
    }
  assert.ok(read > 0.5 * places, `${read} of ${places} places are read by their surroundings`);
});

const isYaml = (text: string): boolean => !parseRecipe(text).problems.some(({ code }) => code === 'yaml-syntax');

/** Of two readings the likelier; the order of the keys beside it does not matter. */
function cursorsAt(text: string, offset: number): unknown {
  const [first] = findCursors(text, offset, parseValue);
  return first === undefined ? null : { ...first, siblings: [...first.siblings].sort() };
}

test('the first place of a text that begins with an empty line', () => {
  assert.deepEqual(surroundingsOf('\n\nmodel: m\n', 0)?.offset, 0);
});
