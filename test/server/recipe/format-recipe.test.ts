// Formatting keeps comments and meaning.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { formatRecipe } from '../../../server/src/recipe/format-recipe.js';
import { repositoryRoot } from '../../support/shared.js';

test('indentation and spaces are set, comments and the style of values stay', () => {
  const text = `# head
quant_stage:   # the only one
    quant_modifiers:
        GPTQModifier:
            scheme:   W4A16
            ignore: [ lm_head,"re:.*down" ]


            dampening_frac: 1.0e-2   # numbers keep their form
            actorder: 'static'
`;
  assert.equal(
    formatRecipe(text),
    `# head
quant_stage:   # the only one
  quant_modifiers:
    GPTQModifier:
      scheme: W4A16
      ignore: [lm_head, "re:.*down"]

      dampening_frac: 1.0e-2   # numbers keep their form
      actorder: 'static'
`,
  );
});

test('lists, texts over lines, anchors and flow collections over lines', () => {
  const text = `a:
- x:  1
  y: {b:2, c :  3, d}
-   - one
    - two
    # below two
-   k: |
      kept
        as it is
    l: *none
b: [
    1,   2
]
`
    .replace('*none', '&one   first')
    .replace('d}', 'd: }');
  assert.equal(
    formatRecipe(text),
    `a:
- x: 1
  y: {b:2, c: 3, d:}
- - one
  - two
# below two
- k: |
    kept
      as it is
  l: &one   first
b: [
    1,   2
]
`,
  );
});

test('the example recipes are formatted already', () => {
  const dir = path.join(repositoryRoot, 'examples');
  for (const name of readdirSync(dir).filter((file) => file.endsWith('.quant.yaml'))) {
    const text = readFileSync(path.join(dir, name), 'utf8');
    assert.equal(formatRecipe(text), text, name);
  }
});

test('what cannot be read, JSON and front matter are left alone', () => {
  for (const text of ['a: [', '{"quant_stage": {}}', '---\nquant_stage: {}\n---\n# Title\n', '- a list\n', ''])
    assert.equal(formatRecipe(text), null, text);
});

test('blanks around the colon of a key without value, and line breaks of a carriage return alone', () => {
  assert.equal(formatRecipe('a  : \n  b :  \n'), 'a:\n  b:\n');
  assert.equal(formatRecipe('a:  1\rb: 2\r'), 'a: 1\nb: 2\n');
});

test('an empty key below a comment keeps its place when the text is formatted again', () => {
  const once = formatRecipe('\noutput: {dir: out}\n# calibration\n    :\n#   quant_modifi');
  assert.equal(once, 'output: {dir: out}\n  # calibration\n  :\n#   quant_modifi\n');
  assert.equal(formatRecipe(once), once);
});
