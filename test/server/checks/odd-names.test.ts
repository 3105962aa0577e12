// Names that JavaScript knows, and patterns that turn out too slow only in the middle of an analysis.
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { test } from 'node:test';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const head = 'model: model\noutput: {dir: out}\ncalibration: {dataset: rows.jsonl}\n';

test('modifiers and fields with the names of what every JavaScript object has are unknown, and nothing more', () =>
  inFolder({}, async (dir) => {
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      const asModifier = await checkIn(dir, `${head}q_stage: {q_modifiers: {${name}: {}}}\n`);
      assert.ok(
        asModifier.problems.some(({ code }) => code === 'unknown-modifier'),
        name,
      );
      const asField = await checkIn(dir, `${head}q_stage: {q_modifiers: {GPTQModifier: {scheme: W4A16, ${name}: 1}}}\n`);
      assert.ok(
        asField.problems.some(({ code }) => code === 'unknown-field'),
        name,
      );
    }
  }));

test('a pattern that turns out too slow gives the same problems the first and the second time', () =>
  inFolder({}, async (dir) => {
    const mappings = "[{smooth_layer: 're:(.*)*slow', balance_layers: ['re:.*up_proj$']}]";
    const text = `${head}q_stage: {q_modifiers: {AWQModifier: {mappings: ${mappings}}, QuantizationModifier: {scheme: W8A16}}}\n`;
    const [first, second] = [await checkIn(dir, text), await checkIn(dir, text)];
    assert.ok(isDeepStrictEqual(first.problems, second.problems), first.problems.map(({ message }) => message).join('\n'));
  }));
