// One finding of the recipe schema with what a problem says of it: the field, its value and how it is written.
import type { SchemaFinding } from '../../../schemas/src/json-schema.js';
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import type { RecipeDocument } from './recipe-document.js';

export interface Refusal extends SchemaFinding {
  /** All of them: alternatives of one value are found wrong one by one. */
  findings: readonly SchemaFinding[];
  document: RecipeDocument;
  /** The last key that leads there. */
  field: string;
  value: unknown;
}

export function refusalOf(finding: SchemaFinding, { findings, document }: Pick<Refusal, 'findings' | 'document'>): Refusal {
  const field = finding.path.filter((step) => typeof step === 'string').at(-1) ?? 'the recipe';
  return { ...finding, findings, document, field, value: document.valueAt(finding.path) };
}

/** A problem of the value. */
export const problemAt = ({ path }: Refusal, code: string, message: string, fixes?: ProblemFix[]): Problem => ({
  code,
  severity: 'error',
  path,
  at: 'value',
  message,
  ...(fixes ? { fixes } : {}),
});

export const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
export const samePath = (a: RecipePath, b: RecipePath): boolean => a.length === b.length && a.every((step, i) => step === b[i]);
