// Hints inside a recipe: match counts, bits per weight, bytes saved.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inlayHintKinds, inlayHints, type InlayHintKind } from '../../../server/src/features/inlay-hints.js';
import { check } from '../../support/recipe-features.js';

const recipe = `model: ./
output:
  dir: ../out
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W4A16
      targets: [Linear]
      ignore:
        - lm_head
        - re:.*down_proj
`;

/** The text with each hint in ⟨⟩ where it stands. */
async function withHints(text: string, kinds: readonly InlayHintKind[], lines: [number, number] = [0, 100]): Promise<string> {
  const { resolution } = await check(text);
  const range = { start: { line: lines[0], character: 0 }, end: { line: lines[1], character: 0 } };
  const rows = text.split('\n');
  for (const { position, label } of inlayHints(resolution, range, new Set(kinds)).reverse()) {
    const row = rows[position.line] ?? '';
    rows[position.line] = `${row.slice(0, position.character)}⟨${label}⟩${row.slice(position.character)}`;
  }
  return rows.join('\n');
}

test('each pattern tells how many layers it matches', async () => {
  assert.equal(
    await withHints(recipe, ['matchCounts']),
    recipe
      .replace('[Linear]', '[Linear⟨15 layers⟩]')
      .replace('- lm_head', '- lm_head⟨1 layer⟩')
      .replace('down_proj', 'down_proj⟨2 layers⟩'),
  );
});

test('the modifier tells bits and bytes', async () => {
  const text = await withHints(recipe, ['bitsPerWeight', 'bytesSaved']);
  assert.match(
    text,
    /QuantizationModifier:⟨−\d+(\.\d+)? kB⟩⟨4\.\d\d bits per weight⟩$|QuantizationModifier:⟨4\.\d\d bits per weight⟩⟨−\d+(\.\d+)? kB⟩$/m,
  );
});

test('only the lines in sight, only the kinds that are on, nothing without a model', async () => {
  assert.equal(await withHints(recipe, inlayHintKinds, [0, 4]), recipe);
  assert.equal(await withHints(recipe, []), recipe);
  const withoutModel = recipe.replace('model: ./\n', '');
  assert.equal(await withHints(withoutModel, inlayHintKinds), withoutModel);
});
