// One helper for checks: a recipe with marks beside a tiny model; its problems must be exactly the marked ones.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import { describeModel } from '../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { checkRecipe } from '../../server/src/checks/check-recipe.js';
import type { CheckedRecipe } from '../../server/src/checks/check-recipe.js';
import type { ResolveContext } from '../../server/src/plan/resolve-context.js';
import { dedent, readMarks } from './markers.js';
import { tinyLlama, writeModel } from './model-fixture.js';
import type { TinyModel } from './model-fixture.js';

export interface RecipeSetting {
  /** Written as `model/`; default a Llama of two blocks. null: none. */
  model?: TinyModel | null;
  /** File name → text, beside the recipe. */
  files?: Record<string, string>;
}

export async function inFolder<T>(setting: RecipeSetting, use: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'bitwright-test-'));
  try {
    const model = setting.model === undefined ? tinyLlama() : setting.model;
    if (model !== null) writeFileSync(path.join(writeModel(path.join(dir, 'model'), model), 'tokenizer.json'), '{}');
    for (const [name, text] of Object.entries({ 'rows.jsonl': '{"text": "a"}\n'.repeat(8), ...setting.files }))
      writeFileSync(path.join(dir, name), text);
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** `changes`: what is asked of the outside otherwise. */
export function checkIn(dir: string, text: string, changes: Partial<ResolveContext> = {}): Promise<CheckedRecipe> {
  return checkRecipe(text, {
    recipePath: path.join(dir, 'test.quant.yaml'),
    baseDir: dir,
    files: nodeFiles,
    environment: {},
    describe: (model) => describeModel(model, nodeFiles),
    ...changes,
  });
}

/** The head of a marked recipe: what follows are the fields of its one modifier. */
export const roundToNearest = `
    model: model
    output: {dir: out}
    q_stage:
      q_modifiers:
        QuantizationModifier:`;

/** A test body that only compares the marks. */
export const marked =
  (text: string, setting: RecipeSetting = {}) =>
  async (): Promise<void> => {
    await checkMarked(text, setting);
  };

/** The problems of a marked recipe are exactly its marks: severity, code, range, and the part of the message that the mark gives. */
export async function checkMarked(marked: string, setting: RecipeSetting = {}): Promise<CheckedRecipe> {
  const { text, expected } = readMarks(dedent(marked));
  return inFolder(setting, async (dir) => {
    const checked = await checkIn(dir, text);
    const found = checked.problems.map(
      ({ code, severity, range }) => `${range.start.line + 1}:${range.start.character}-${range.end.character} ${severity} ${code}`,
    );
    const wanted = expected.map(({ line, begin, end, severity, code }) => `${line + 1}:${begin}-${end} ${severity} ${code}`);
    assert.deepEqual(found.sort(), wanted.sort(), checked.problems.map(({ code, message }) => `${code}: ${message}`).join('\n'));
    for (const { code, message, line } of expected) {
      const at = checked.problems.find((problem) => problem.code === code && problem.range.start.line === line);
      assert.ok(at?.message.includes(message), `${code}: expected "${message}" in "${at?.message ?? ''}"`);
    }
    return checked;
  });
}

/** The plan of a recipe without errors. */
export async function planIn(dir: string, text: string): Promise<QuantizationPlan> {
  const { plan, problems } = await checkIn(dir, text);
  assert.ok(plan, problems.map(({ message }) => message).join('\n'));
  return structuredClone(plan);
}
