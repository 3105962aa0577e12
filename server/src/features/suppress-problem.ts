// The action that silences a problem in its place: the comment is written, its reason is left to the user.
import type { RecipeDocument } from '../recipe/recipe-document.js';
import type { QuickFix } from './code-actions.js';
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';

/** One for each problem that can be silenced; an error cannot, and the suppressions' own problems are mended in their comment. */
export function suppressions(document: RecipeDocument, problems: readonly ProblemWithRange[]): QuickFix[] {
  const seen = new Set<string>();
  return problems.flatMap((problem): QuickFix[] => {
    const { code, severity, range } = problem;
    const { line } = range.start;
    const key = `${code} ${line}`;
    if (severity === 'error' || code.startsWith('suppression-') || seen.has(key)) return [];
    seen.add(key);
    const text = document.text.split('\n')[line] ?? '';
    // On a line of its own above: the line itself may end in a comment or in a text over several lines.
    const indent = /^\s*/.exec(text)?.[0] ?? '';
    const start = { line, character: 0 };
    const newText = `${indent}# bitwright-ignore ${code}: \n`;
    return [
      { title: `Suppress ${code} here, with a reason`, preferred: false, problem, edits: [{ range: { start, end: start }, newText }] },
    ];
  });
}
