// Runs editor features on a recipe with a `$0` cursor, as a person at a keyboard would.
import { describeModel } from '../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import type { ModelDescription } from '../../schemas/src/generated/plan.js';
import { checkRecipe, type CheckedRecipe } from '../../server/src/checks/check-recipe.js';
import { quickFixes } from '../../server/src/features/code-actions.js';
import { completeRecipe, type Completion } from '../../server/src/features/completion.js';
import type { FolderEntry } from '../../server/src/features/completion-paths.js';
import { hoverRecipe } from '../../server/src/features/hover.js';
import type { TextReplacement } from '../../server/src/features/recipe-edits.js';
import type { RecipeDocument } from '../../server/src/recipe/recipe-document.js';
import { temporaryFolder, writeTinyLlama } from './tiny-llama-folder.js';

const CURSOR = '$0';

export function withCursor(marked: string): { text: string; offset: number } {
  const offset = marked.indexOf(CURSOR);
  if (offset < 0) throw new Error(`The text has no ${CURSOR}.`);
  return { text: marked.slice(0, offset) + marked.slice(offset + CURSOR.length), offset };
}

let model: Promise<{ dir: string; description: ModelDescription }> | undefined;

/** The two-block Llama, written once per test process. */
export function tinyModel(): Promise<{ dir: string; description: ModelDescription }> {
  model ??= (async () => {
    const dir = temporaryFolder('model');
    writeTinyLlama(dir);
    const { model: description, problems } = await describeModel(dir, nodeFiles);
    if (description === null) throw new Error(problems.map(({ message }) => message).join(' '));
    return { dir, description };
  })();
  return model;
}

export async function complete(marked: string, files: FolderEntry[] = []): Promise<Completion & { labels: string[] }> {
  const completion = await completeRecipe({
    ...withCursor(marked),
    model: (await tinyModel()).description,
    datasets: { calibration: null, evaluations: [] },
    listFolder: (folder) => Promise.resolve(folder === '' ? files : null),
  });
  return { ...completion, labels: completion.entries.map(({ label }) => label) };
}

/** The text after choosing an entry; `$0` shows where a snippet leaves the cursor, placeholders stay as their text. */
export async function chooseCompletion(marked: string, label: string, files: FolderEntry[] = []): Promise<string> {
  const { entries, begin, end } = await complete(marked, files);
  const entry = entries.find((candidate) => candidate.label === label);
  if (entry === undefined) throw new Error(`${label} is not offered; there are: ${entries.map((other) => other.label).join(', ')}`);
  const { text } = withCursor(marked);
  const indent = /^[ ]*/.exec(text.slice(text.lastIndexOf('\n', begin - 1) + 1))?.[0] ?? '';
  const inserted = entry.snippet
    .replace(/\$\{\d+:([^}]*)\}/g, '$1')
    .replace(/\\([$}\\])/g, '$1')
    .replaceAll('\n', `\n${indent}`);
  return text.slice(0, begin) + inserted + text.slice(end);
}

/** Checks a recipe as if it lay in the folder that holds the tiny model. */
export async function check(text: string): Promise<CheckedRecipe> {
  const { dir } = await tinyModel();
  return checkRecipe(text, {
    recipePath: `${dir}/r.quant.yaml`,
    baseDir: dir,
    files: nodeFiles,
    environment: {},
    describe: (folder) => describeModel(folder, nodeFiles),
  });
}

export async function hover(marked: string): Promise<string | null> {
  const { text, offset } = withCursor(marked);
  const { resolution } = await check(text);
  return hoverRecipe(resolution, offset)?.markdown ?? null;
}

/** The text after the preferred (else the first) fix of the problem with this code. */
export async function applyFix(text: string, code: string): Promise<string> {
  const { document, problems } = await check(text);
  const problem = problems.find((candidate) => candidate.code === code);
  if (problem === undefined) throw new Error(`No problem ${code}; there are: ${problems.map((other) => other.code).join(', ')}`);
  const fixes = quickFixes(document, problems, problem.range).filter((fix) => fix.problem === problem);
  const fix = fixes.find(({ preferred }) => preferred) ?? fixes[0];
  if (fix === undefined) throw new Error(`${code} has no fix.`);
  return applyEdits(document, fix.edits);
}

export function applyEdits(document: RecipeDocument, edits: readonly TextReplacement[]): string {
  const replaced = edits.map(({ range, newText }) => ({
    begin: document.offsetAt(range.start),
    end: document.offsetAt(range.end),
    newText,
  }));
  return replaced
    .sort((a, b) => b.begin - a.begin)
    .reduce((text, { begin, end, newText }) => text.slice(0, begin) + newText + text.slice(end), document.text);
}
