// The fix that takes a modifier out of a recipe, with the group and stage that would be left empty.
import type { ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import { mappingOf } from '../recipe/coerce.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';

/** null for the recipe's only modifier: without it nothing is left to run. */
export function removeModifier(document: RecipeDocument, path: RecipePath): ProblemFix | null {
  let emptied = path;
  while (emptied.length > 1 && Object.keys(mappingOf(document.valueAt(emptied.slice(0, -1)))).length === 1) emptied = emptied.slice(0, -1);
  const hasOtherStage = Object.keys(document.value).some((key) => key.endsWith('_stage') && key !== path[0]);
  if (emptied.length === 1 && !hasOtherStage) return null;
  return { title: `Remove ${String(path.at(-1))}`, preferred: false, edits: [{ kind: 'remove', path: emptied }] };
}
