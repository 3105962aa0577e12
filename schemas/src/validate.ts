// Validation against the recipe, plan and report schemas, one function each, with ajv's names hidden.
import type { ErrorObject, ValidateFunction } from './compiled-schemas.js';
import { lockValidator, planValidator, recipeValidator, reportValidator, sensitivityValidator } from './compiled-schemas.js';
import type { RunLock } from './generated/lock.js';
import type { QuantizationPlan } from './generated/plan.js';
import type { RunReport } from './generated/report.js';
import type { SensitivityAnalysis } from './generated/sensitivity.js';

/** One finding of a validator, with the library's names hidden. */
export interface SchemaFinding {
  /** Keys and indices from the root. */
  path: (string | number)[];
  keyword: string;
  params: Record<string, unknown>;
  message: string;
}

/** Arrays are told from objects by the value itself. */
function pathOf(pointer: string, value: unknown): (string | number)[] {
  const result: (string | number)[] = [];
  let node = value;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replace(/~1/g, '/').replace(/~0/g, '~');
    const step = Array.isArray(node) ? Number(key) : key;
    result.push(step);
    node = (node as Record<string | number, unknown> | undefined)?.[step];
  }
  return result;
}

function check(validate: ValidateFunction, value: unknown): SchemaFinding[] {
  if (validate(value)) return [];
  return (validate.errors ?? []).map((error: ErrorObject) => ({
    path: pathOf(error.instancePath, value),
    keyword: error.keyword,
    params: error.params as Record<string, unknown>,
    message: error.message ?? error.keyword,
  }));
}

export const findingsOfRecipe = (value: unknown): SchemaFinding[] => check(recipeValidator(), value);
export const findingsOfReport = (value: unknown): SchemaFinding[] => check(reportValidator(), value);

const describe = (findings: readonly SchemaFinding[]): string =>
  findings
    .slice(0, 3)
    .map((finding) => `${finding.path.join('.') || 'the plan'} ${finding.message}`)
    .join('; ');

/** A plan that crossed a process border; answers a sentence when it is none. */
export function asPlan(value: unknown): { plan: QuantizationPlan } | { error: string } {
  const findings = check(planValidator(), value);
  return findings.length === 0 ? { plan: value as QuantizationPlan } : { error: describe(findings) };
}

export function asReport(value: unknown): { report: RunReport } | { error: string } {
  const findings = check(reportValidator(), value);
  return findings.length === 0 ? { report: value as RunReport } : { error: describe(findings) };
}

export function asSensitivity(value: unknown): { analysis: SensitivityAnalysis } | { error: string } {
  const findings = check(sensitivityValidator(), value);
  return findings.length === 0 ? { analysis: value as SensitivityAnalysis } : { error: describe(findings) };
}

/** Its plan is one of this version, too. */
export function asLock(value: unknown): { lock: LockWithPlan } | { error: string } {
  const findings = check(lockValidator(), value);
  if (findings.length > 0) return { error: describe(findings) };
  const lock = value as RunLock;
  const plan = asPlan(lock.plan);
  return 'error' in plan ? { error: `its plan: ${plan.error}` } : { lock: { ...lock, plan: plan.plan } };
}

export type LockWithPlan = Omit<RunLock, 'plan'> & { plan: QuantizationPlan };
