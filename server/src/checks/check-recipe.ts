// The one entry: recipe text and its surroundings → document, resolution, problems, and a plan when no error stands in the way.
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { tooSlowEntries } from '../../../schemas/src/model/match-targets.js';
import type { Problem } from '../../../schemas/src/problem.js';
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import { buildPlan } from '../plan/build-plan.js';
import { resolveRecipe } from '../plan/resolution.js';
import type { Resolution } from '../plan/resolution.js';
import type { ResolveContext } from '../plan/resolve-context.js';
import { parseRecipe } from '../recipe/parse-recipe.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { allChecks } from './all-checks.js';
import { applySuppressions } from './suppressions.js';

export interface CheckedRecipe {
  document: RecipeDocument;
  resolution: Resolution;
  problems: ProblemWithRange[];
  /** null when a problem of severity error stands in the way, or the recipe names no model or output. */
  plan: QuantizationPlan | null;
  /** Errors stand in the way, and all of them say that this machine has too little of something: elsewhere the plan would be one. */
  onlyMachineErrors: boolean;
}

const machineErrors: ReadonlySet<string> = new Set(['memory-above-machine', 'not-enough-disk']);

/** `tell` gets the errors that the text alone shows, before the model is looked at. */
export async function checkRecipe(
  text: string,
  context: ResolveContext,
  tell?: (errors: readonly ProblemWithRange[]) => void,
): Promise<CheckedRecipe> {
  const tooSlowBefore = tooSlowEntries();
  const { document, problems } = parseRecipe(text, context.recipePath);
  tell?.(document.attachRanges(problems.filter(({ severity }) => severity === 'error')));
  const resolution = await resolveRecipe(document, context);
  // A text that is no YAML mapping has nothing for the other checks to look at.
  const unreadable = problems.some(({ code }) => code === 'yaml-syntax' || code === 'recipe-not-a-mapping' || code === 'recipe-too-long');
  const all = unreadable
    ? problems
    : distinct([...problems, ...resolution.problems, ...allChecks.flatMap((check) => check.run(resolution))]);
  const errors = all.filter(({ severity }) => severity === 'error');
  const plan = errors.length > 0 ? null : buildPlan(resolution);
  const onlyMachineErrors = errors.length > 0 && errors.every(({ code }) => machineErrors.has(code));
  // The same text must give the same problems: the places asked before the pattern proved too slow are asked again.
  if (tooSlowEntries() > tooSlowBefore) return checkRecipe(text, context);
  return { document, resolution, problems: applySuppressions(document.text, document.attachRanges(all)), plan, onlyMachineErrors };
}

/** The schema and the expansion may say the same of one place. */
function distinct(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>();
  return problems.filter(({ code, path, range }) => {
    const key = `${code} ${path.join('/')} ${JSON.stringify(range ?? null)}`;
    const isNew = !seen.has(key);
    seen.add(key);
    return isNew;
  });
}
