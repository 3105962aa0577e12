// docs/problems: a page for every problem code of the sources, whose recipes are run: the example has the problem, the mended one has it no more.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { CheckedRecipe } from '../../server/src/checks/check-recipe.js';
import { quickFixes } from '../../server/src/features/code-actions.js';
import type { TextReplacement } from '../../server/src/features/recipe-edits.js';
import { createAnalyses } from '../../server/src/lsp/analyses.js';
import { checkPageIn, writePageFolder } from '../support/problem-page-folder.js';
import { temporaryFolder } from '../support/tiny-llama-folder.js';
import { problemCodesInSources } from './problem-codes.js';
import { readRepositoryFile, repositoryRoot } from './source-files.js';

interface ProblemPage {
  code: string;
  text: string;
  title: string;
  severity: string;
  sentence: string;
  fix: string;
  /** null where no recipe can show it. */
  example: string | null;
  mended: string | null;
}

interface Generator {
  problemPages(): ProblemPage[];
  problemIndex(): string;
}

/** Given only for a schema keyword that no schema uses: the test below keeps it so. */
const withoutPage = ['schema'];
/** Keywords of the recipe schema that are put into words of their own. */
const wordedKeywords = [
  'additionalProperties',
  'required',
  'type',
  'enum',
  'minimum',
  'exclusiveMinimum',
  'maximum',
  'minItems',
  'maxItems',
  'anyOf',
  'pattern',
];

/** A recipe may be right although it is llm-compressor alone that can run it. */
const notYet = ['modifier-not-runnable-yet', 'scheme-not-runnable-yet'];
const isGrave = ({ severity }: { severity: string }): boolean => severity === 'error' || severity === 'warning';

const folder = temporaryFolder('problem-pages');
const url = pathToFileURL(path.join(repositoryRoot, 'scripts/generate-problem-index.mjs')).href;
const codes = [...problemCodesInSources().keys()].filter((code) => !withoutPage.includes(code)).sort();
let generator: Generator;
let pages: ProblemPage[];

before(async () => {
  generator = (await import(url)) as Generator;
  pages = generator.problemPages();
  writePageFolder(folder);
});

test('every problem code of the sources has a page, and every page a code', () => {
  assert.deepEqual(
    pages.map(({ code }) => code),
    codes,
  );
});

test('the index is up to date (node scripts/generate-problem-index.mjs)', () => {
  assert.equal(readRepositoryFile('docs/problems/README.md'), generator.problemIndex());
});

test('the schemas of recipes use only keywords that have words of their own', () => {
  const files = readdirSync(path.join(repositoryRoot, 'schemas', 'recipe'), { recursive: true, encoding: 'utf8' });
  const schemas = ['recipe.schema.json', ...files.filter((name) => name.endsWith('.json')).map((name) => path.join('recipe', name))];
  const used = schemas.flatMap((name) => keywordsOf(JSON.parse(readRepositoryFile(path.join('schemas', name)))));
  const silent = /^(\$|x-)|^(title|description|default|examples|properties|patternProperties|items)$/;
  assert.deepEqual(
    [...new Set(used)].filter((keyword) => !silent.test(keyword) && !wordedKeywords.includes(keyword)),
    [],
  );
});

for (const code of codes)
  test(`docs/problems/${code}.md: its recipes and its quick fix are as the checks have them`, async () => {
    const page = pages.find((candidate) => candidate.code === code);
    assert.ok(page, `docs/problems/${code}.md is missing`);
    assert.equal(page.title, code);
    assert.ok(page.text.split('\n').length <= 41, 'at most 40 lines');
    assert.match(page.sentence, /^[^.]+(\.\w[^.]*)*\.$/, 'one sentence');
    if (code === 'recipe-unreadable') return checkUnreadable(page);
    assert.ok(page.example !== null && page.mended !== null, 'an example and its mended form');
    const { found, checked } = await problemIn(page.example, code);
    assert.ok(found, `the example has ${listed(checked)}`);
    assert.equal(page.severity, found.severity);
    const { checked: mended } = await problemIn(page.mended, code, true);
    assert.deepEqual(
      mended.problems.filter((problem) => problem.code === code || (isGrave(problem) && !notYet.includes(problem.code))),
      [],
    );
    await checkFixes(page, checked);
  });

async function problemIn(
  text: string,
  code: string,
  isMended = false,
): Promise<{ checked: CheckedRecipe; found: CheckedRecipe['problems'][number] | undefined }> {
  const checked = await checkPageIn(folder, text, code, isMended);
  return { checked, found: checked.problems.find((problem) => problem.code === code) };
}

/** The page names every fix that the example gets; the preferred one removes the problem. */
async function checkFixes({ code, fix, example }: ProblemPage, { document, problems }: CheckedRecipe): Promise<void> {
  const whole = document.rangeOfSpan({ begin: 0, end: document.text.length });
  const fixes = quickFixes(document, problems, whole).filter(({ problem }) => problem.code === code);
  if (fixes.length === 0) {
    assert.match(fix, /^None: \S/, 'no fix is given, so the page says None: and why');
    return;
  }
  for (const { title } of fixes) assert.ok(fix.includes(`\`${title}\``), `the page does not name the fix \`${title}\``);
  for (const { edits, title } of fixes.filter(({ preferred }) => preferred)) {
    const { checked, found } = await problemIn(applied(example ?? '', edits, document), code);
    assert.equal(found, undefined, `${title} leaves ${listed(checked)}`);
  }
}

function applied(text: string, edits: readonly TextReplacement[], document: CheckedRecipe['document']): string {
  return [...edits]
    .sort((a, b) => document.offsetAt(b.range.start) - document.offsetAt(a.range.start))
    .reduce((changed, { range, newText }) => {
      return changed.slice(0, document.offsetAt(range.start)) + newText + changed.slice(document.offsetAt(range.end));
    }, text);
}

/** This one is about a file that is not there; the request that a run makes says so. */
async function checkUnreadable({ mended, severity, fix }: ProblemPage): Promise<void> {
  const analyses = createAnalyses();
  const uri = pathToFileURL(path.join(folder, 'missing.quant.yaml')).href;
  const answer = await analyses.resolve({ uri }, undefined);
  assert.deepEqual(
    answer.problems.map((problem) => `${problem.severity} ${problem.code}`),
    [`${severity} recipe-unreadable`],
  );
  assert.match(fix, /^None: \S/);
  const { problems } = await analyses.resolve({ uri, text: mended ?? '' }, undefined);
  assert.deepEqual(problems, []);
}

const listed = ({ problems }: CheckedRecipe): string =>
  problems.map(({ severity, code, message }) => `${severity} ${code}: ${message}`).join('\n');

/** Keywords of a JSON Schema, those of its parts too. */
function keywordsOf(schema: unknown): string[] {
  if (Array.isArray(schema)) return schema.flatMap(keywordsOf);
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([keyword, value]) => {
    if (['properties', 'patternProperties', '$defs'].includes(keyword))
      return [keyword, ...Object.values(value as object).flatMap(keywordsOf)];
    const hasParts = ['items', 'anyOf', 'additionalProperties'].includes(keyword);
    return [keyword, ...(hasParts ? keywordsOf(value) : [])];
  });
}
