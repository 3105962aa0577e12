// Problems of a recipe as lines for a terminal: place, message, the source line with carets, notes and ways out.
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';
import type { EvaluateProgressParams } from '../../../schemas/src/protocol/client-worker.js';
import { counted } from './format-text.js';
import type { Progress } from './terminal.js';

/** What `check --json` prints for each problem. */
export interface ListedProblem {
  file: string;
  code: string;
  severity: ProblemWithRange['severity'];
  message: string;
  range: ProblemWithRange['range'];
}

/** A recipe's text, and what of it an option of the command line replaces: path joined by dots → option. */
export interface CheckedText {
  /** As the user wrote it. */
  file: string;
  source: string;
  replaced: Readonly<Record<string, string>>;
}

export function listedProblem(file: string, problem: ProblemWithRange): ListedProblem {
  const { code, severity, message, range } = problem;
  return { file, code, severity, message, range };
}

export function problemLines({ file, source, replaced }: CheckedText, problem: ProblemWithRange): string[] {
  const { start, end } = problem.range;
  const option = replaced[problem.path.join('.')];
  const place = option ?? `${file}:${start.line + 1}:${start.character + 1}`;
  const lines = [
    `${place} ${problem.severity} ${problem.code}  ${problem.message}`,
    // What the option says is not in the recipe.
    ...(option === undefined ? quotedSource(source, start, end) : []),
  ];
  for (const note of problem.notes ?? []) lines.push(`      note: ${note}`);
  for (const { range, message } of problem.related ?? [])
    lines.push(`      ${file}:${range.start.line + 1}:${range.start.character + 1}: ${message}`);
  for (const fix of problem.fixes ?? []) lines.push(`      fix:  ${fix.title}`);
  return lines;
}

function quotedSource(source: string, start: { line: number; character: number }, end: { line: number; character: number }): string[] {
  const text = source.split(/\r\n|\r|\n/)[start.line];
  if (text === undefined || text.trim() === '') return [];
  const stop = end.line === start.line ? end.character : text.trimEnd().length;
  const number = String(start.line + 1).padStart(5);
  // A tab before the range stays a tab, so that the carets stand under their text at any tab width.
  const indent = text.slice(0, start.character).replace(/[^\t]/g, ' ');
  return [`${number} | ${text}`, `      | ${indent}${'^'.repeat(Math.max(1, stop - start.character))}`];
}

export function problemCounts(problems: readonly { severity: ProblemWithRange['severity'] }[]): string {
  const count = (severity: ProblemWithRange['severity']): number => problems.filter((problem) => problem.severity === severity).length;
  const [errors, warnings, others] = [count('error'), count('warning'), count('information') + count('hint')];
  const parts = [
    ...(errors > 0 ? [counted(errors, 'error')] : []),
    ...(warnings > 0 ? [counted(warnings, 'warning')] : []),
    ...(others > 0 ? [counted(others, 'remark')] : []),
  ];
  return parts.length === 0 ? 'no problems' : parts.join(', ');
}

export const hasErrors = (problems: readonly { severity: ProblemWithRange['severity'] }[]): boolean =>
  problems.some((problem) => problem.severity === 'error');

/** A plan also needs a model and an output folder, which a plain llm-compressor recipe does not name. */
export function whyNoPlan(problems: readonly Pick<ProblemWithRange, 'severity' | 'code'>[]): string {
  if (hasErrors(problems)) return `${problemCounts(problems)}.`;
  if (problems.some(({ code }) => code === 'output-dir-missing')) return 'the recipe names no output folder. Give --out DIR.';
  return 'the recipe does not name a model and an output folder. Give --model DIR and --out DIR, or write model: and output: into it.';
}

/** What an analysis or a search tells on its way. */
export function showTold(progress: Progress, { fraction, message, problem }: EvaluateProgressParams): void {
  if (problem === undefined) progress.update(fraction, null, message);
  else progress.note(`${problem.severity} ${problem.code}  ${problem.message}`);
}
