// Every modifier that runs has its row in docs/methods.md with no cell left empty, a recipe among the examples that names it, and a description in its schema.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modifierFacts } from '../../schemas/src/modifiers.js';
import { recipeSchemaFiles } from '../../schemas/src/recipe-schema-files.js';
import { schemasAt } from '../../server/src/features/schema-lookup.js';
import { readRepositoryFile, repositoryFiles } from './source-files.js';

const page = readRepositoryFile('docs/methods.md');
const examples = repositoryFiles().filter((name) => /^examples\/[^/]+\.quant\.yaml$/.test(name));
const linked = (row: string): string[] => [...row.matchAll(/\]\(\.\.\/(examples\/[^)]+)\)/g)].map(([, file = '']) => file);

for (const { name, stem } of modifierFacts)
  if (stem !== null)
    test(`${name} has its row, its recipe and its description`, () => {
      const rows = page.split('\n').filter((line) => line.startsWith(`| \`${name}\` |`));
      assert.equal(rows.length, 1, `docs/methods.md has ${rows.length} rows of ${name}`);
      const cells = (rows[0] ?? '').split('|').slice(1, -1);
      assert.equal(cells.length, 7);
      assert.ok(
        cells.every((cell) => cell.trim() !== ''),
        rows[0],
      );
      const recipes = linked(rows[0] ?? '');
      assert.ok(recipes.length > 0, 'its row names no recipe');
      for (const file of recipes) {
        assert.ok(examples.includes(file), `there is no ${file}`);
        assert.match(readRepositoryFile(file), new RegExp(`^\\s*${name}:`, 'm'));
      }
      const [schema] = schemasAt(recipeSchemaFiles, ['quant_stage', 'quant_modifiers', name]);
      assert.ok((schema?.schema.description ?? '').length > 40, `the schema says nothing of ${name}`);
    });

test('no row names a modifier that does not run', () => {
  const rows = [...page.matchAll(/^\| `(\w+Modifier)` \|/gm)].map(([, name = '']) => name);
  const running = modifierFacts.filter(({ stem }) => stem !== null).map(({ name }) => name);
  assert.deepEqual([...rows].sort(), [...running].sort());
});
