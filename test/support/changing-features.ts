// The features that change a recipe: fixes, rename, format. What they leave can be read, says what it said, and has one problem less.
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { TextDocument } from 'vscode-languageserver-textdocument';
import type { RecipePath, TextRange } from '../../schemas/src/problem.js';
import type { ProblemWithRange } from '../../schemas/src/protocol/client-server.js';
import { renamable, rename } from '../../server/src/features/anchors.js';
import { fixAll, quickFixes } from '../../server/src/features/code-actions.js';
import type { Analysis } from '../../server/src/lsp/analyses.js';
import { formatRecipe } from '../../server/src/recipe/format-recipe.js';
import { parseRecipe } from '../../server/src/recipe/parse-recipe.js';
import type { Random } from './random.js';
import { applied, inText } from './text-ranges.js';

export interface Questioned {
  text: TextDocument;
  analysis: Analysis;
  random: Random;
  /** Of another text in the same place. */
  analyse(text: string): Promise<Analysis>;
}

/** What the answers held; a test that saw none of one kind has looked at nothing there. */
export type Seen = Record<
  'fixes' | 'fixes at once' | 'renames' | 'formatted' | 'tokens' | 'hovers' | 'completions' | 'hints' | 'plans',
  number
>;

export const nothingSeen = (): Seen => ({
  fixes: 0,
  'fixes at once': 0,
  renames: 0,
  formatted: 0,
  tokens: 0,
  hovers: 0,
  completions: 0,
  hints: 0,
  plans: 0,
});

/** Through the fence: a bug that it reports fails the test. */
export type Ask = <Result>(name: string, work: () => Promise<Result> | Result) => Promise<Result>;

const isUnreadable = ({ problems }: { problems: readonly { code: string }[] }): boolean =>
  problems.some(({ code }) => code === 'yaml-syntax' || code === 'recipe-not-a-mapping');

const mostFixes = 3;

/** A quick fix leaves a recipe that can be read, and takes its problem away; so do all preferred ones at once. */
export async function askFixes({ text, analysis, random, analyse }: Questioned, ask: Ask, range: TextRange, seen: Seen): Promise<void> {
  const { document, problems } = analysis;
  const fixes = await ask('codeAction', () => quickFixes(document, problems, range));
  const first = random.below(fixes.length + 1);
  for (const { title, problem, edits } of [...fixes, ...fixes].slice(first, first + Math.min(mostFixes, fixes.length))) {
    const fixed = applied(text, edits);
    const after = await analyse(fixed);
    const what = `${title} for "${problem.message}" makes ${JSON.stringify(fixed)}`;
    assert.ok(!isUnreadable(after) || isUnreadable(analysis), `${what}, which is no recipe: ${after.problems[0]?.message}`);
    // What a merge key brings in, under a key that was removed, has the problem elsewhere.
    const count = ({ document: where, problems: all }: Analysis): number =>
      all.filter((other) => isSame(other, problem) && where.has(other.path)).length;
    // Of two equal keys a fix mends the one that counts, and then the other counts.
    const isTwice = problems.some(
      ({ code, path }) => code === 'duplicate-key' && path.every((step, index) => problem.path[index] === step),
    );
    assert.ok(count(after) < count(analysis) || isTwice, `${what}, which still has the problem`);
    seen.fixes += 1;
  }
  const all = await ask('fixAll', () => fixAll(document, problems));
  if (all.length > 0) {
    const fixed = applied(text, all);
    const after = await analyse(fixed);
    assert.ok(
      !isUnreadable(after) || isUnreadable(analysis),
      `all fixes make ${JSON.stringify(fixed)}, which is no recipe: ${after.problems[0]?.message}`,
    );
    seen['fixes at once'] += 1;
  }
}

/** Indices count for nothing: a removed item moves those behind it. */
function isSame(a: ProblemWithRange, b: ProblemWithRange): boolean {
  const named = (path: ProblemWithRange['path']): string => path.filter((step) => typeof step === 'string').join('/');
  return a.code === b.code && a.message === b.message && named(a.path) === named(b.path);
}

/** A rename changes names, never what the recipe says. */
export async function askRename({ text, analysis, random }: Questioned, ask: Ask, seen: Seen): Promise<void> {
  const { document } = analysis;
  const named = document.anchors().flatMap(({ definition, aliases }) => [definition, ...aliases]);
  const at = named.length > 0 && random.next() < 0.7 ? random.of(named).begin : random.below(text.getText().length + 1);
  const found = await ask('prepareRename', () => renamable(document, at));
  const newName = random.of(['b', 'a', '', 'a b', '*', 'new_name']);
  const answer = await ask('rename', () => rename(document, at, newName));
  if (found !== null) inText(text, found.range, 'prepared rename');
  if ('refusal' in answer) return;
  assert.ok(found !== null, 'a rename that was not prepared');
  const renamed = parseRecipe(applied(text, answer.edits)).document;
  seen.renames += 1;
  if (isUnreadable(analysis)) return;
  const path = document.placeAt(at)?.path ?? [];
  const isAnchor = named.some(({ begin }) => begin === text.offsetAt(found.range.start));
  // A group that an alias brings in elsewhere has its new name there too.
  if (!isAnchor && named.length > 0) return;
  const expected = isAnchor ? document.value : withNewKey(document.value, path, newName);
  assert.ok(isDeepStrictEqual(renamed.value, expected), `renaming ${found.name} to ${newName} makes ${JSON.stringify(renamed.text)}`);
}

function withNewKey(value: unknown, [step, ...rest]: RecipePath, newName: string): unknown {
  if (Array.isArray(value)) return value.map((item: unknown, index) => (index === step ? withNewKey(item, rest, newName) : item));
  const entries = Object.entries(value as object);
  const renamed = entries.map(([key, item]: [string, unknown]) => {
    if (key !== String(step)) return [key, item];
    return rest.length === 0 ? [newName, item] : [key, withNewKey(item, rest, newName)];
  });
  return Object.fromEntries(renamed) as unknown;
}

/** The formatter keeps the meaning, and finds nothing more to do in what it has written. */
export async function askFormat({ text, analysis }: Questioned, ask: Ask, seen: Seen): Promise<void> {
  const formatted = await ask('formatting', () => formatRecipe(text.getText()));
  if (formatted === null) return;
  assert.ok(!isUnreadable(analysis), 'a text that cannot be read was formatted');
  const { document } = parseRecipe(formatted);
  assert.ok(
    isDeepStrictEqual(document.value, analysis.document.value),
    `formatted, the recipe says something else: ${JSON.stringify(formatted)}`,
  );
  assert.equal(formatRecipe(formatted), formatted, 'formatting again changes the text again');
  seen.formatted += 1;
}
