// One finding of the recipe schema with what a problem says of it: the field, its value and how it is written.
import type { SchemaFinding } from '../../../schemas/src/json-schema.js';
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';

export interface Refusal extends SchemaFinding {
  /** All of them: alternatives of one value are found wrong one by one. */
  findings: readonly SchemaFinding[];
  root: unknown;
  /** A scalar as it is written; null where the text does not hold it. */
  sourceOf: (path: RecipePath) => string | null;
  /** The last key that leads there. */
  field: string;
  value: unknown;
}

export function refusalOf(finding: SchemaFinding, { findings, root, sourceOf }: Pick<Refusal, 'findings' | 'root' | 'sourceOf'>): Refusal {
  const field = finding.path.filter((step) => typeof step === 'string').at(-1) ?? 'the recipe';
  return { ...finding, findings, root, sourceOf, field, value: valueAt(root, finding.path) };
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

export const valueAt = (root: unknown, path: RecipePath): unknown =>
  path.reduce<unknown>((node, step) => (node as Record<string | number, unknown> | undefined)?.[step], root);
export const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
export const samePath = (a: RecipePath, b: RecipePath): boolean => a.length === b.length && a.every((step, i) => step === b[i]);
