// Quick fixes: the fixes that the problems in sight carry, as text edits.
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import type { TextRange } from '../../../schemas/src/problem.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { textReplacements, type TextReplacement } from './recipe-edits.js';

export interface QuickFix {
  title: string;
  preferred: boolean;
  problem: ProblemWithRange;
  edits: TextReplacement[];
}

export const problemsIn = (problems: readonly ProblemWithRange[], range: TextRange): ProblemWithRange[] =>
  problems.filter((problem) => touches(problem.range, range));

export function quickFixes(document: RecipeDocument, problems: readonly ProblemWithRange[], range: TextRange): QuickFix[] {
  return problemsIn(problems, range).flatMap((problem) =>
    (problem.fixes ?? []).flatMap((fix) => {
      const edits = textReplacements(document, fix.edits);
      return edits === null ? [] : [{ title: fix.title, preferred: fix.preferred, problem, edits }];
    }),
  );
}

/** The preferred fix of every problem at once; of fixes that touch the same text the first counts. */
export function fixAll(document: RecipeDocument, problems: readonly ProblemWithRange[]): TextReplacement[] {
  const whole = document.rangeOfSpan({ begin: 0, end: document.text.length });
  const applied: TextReplacement[] = [];
  for (const { preferred, edits } of quickFixes(document, problems, whole))
    if (preferred && !edits.some((edit) => applied.some((other) => touches(edit.range, other.range)))) applied.push(...edits);
  return applied;
}

function touches(a: TextRange, b: TextRange): boolean {
  return !isBefore(a.end, b.start) && !isBefore(b.end, a.start);
}

const isBefore = (a: TextRange['start'], b: TextRange['start']): boolean =>
  a.line < b.line || (a.line === b.line && a.character < b.character);
