// Validation of what crosses a process border, against the schemas of plan and report.
import lockSchema from '../lock.schema.json';
import planSchema from '../plan.schema.json';
import reportSchema from '../report.schema.json';
import sensitivitySchema from '../sensitivity.schema.json';
import type { RunLock } from './generated/lock.js';
import type { QuantizationPlan } from './generated/plan.js';
import type { RunReport } from './generated/report.js';
import type { SensitivityAnalysis } from './generated/sensitivity.js';
import { schemaValidator, type SchemaFinding } from './json-schema.js';
import { wholeSchema } from './whole-schema.js';

/** Made whole at the first use. */
const alone = (schema: { $id: string }): ((value: unknown) => SchemaFinding[]) => {
  let findings: ReturnType<typeof schemaValidator> | undefined;
  return (value) => (findings ??= schemaValidator({ [schema.$id]: wholeSchema(schema) }, schema.$id))(value);
};
const findingsOfLock = /* @__PURE__ */ alone(lockSchema);
const findingsOfPlan = /* @__PURE__ */ alone(planSchema);
const findingsOfReport = /* @__PURE__ */ alone(reportSchema);
const findingsOfSensitivity = /* @__PURE__ */ alone(sensitivitySchema);

const describe = (whole: string, findings: readonly SchemaFinding[]): string =>
  findings
    .slice(0, 3)
    .map((finding) => `${finding.path.join('.') || whole} ${finding.message}`)
    .join('; ');

/** A plan that crossed a process border; answers a sentence when it is none. */
export function asPlan(value: unknown): { plan: QuantizationPlan } | { error: string } {
  const findings = findingsOfPlan(value);
  return findings.length === 0 ? { plan: value as QuantizationPlan } : { error: describe('the plan', findings) };
}

export function asReport(value: unknown): { report: RunReport } | { error: string } {
  const findings = findingsOfReport(value);
  return findings.length === 0 ? { report: value as RunReport } : { error: describe('the report', findings) };
}

export function asSensitivity(value: unknown): { analysis: SensitivityAnalysis } | { error: string } {
  const findings = findingsOfSensitivity(value);
  return findings.length === 0 ? { analysis: value as SensitivityAnalysis } : { error: describe('the analysis', findings) };
}

/** Its plan is one of this version, too. */
export function asLock(value: unknown): { lock: LockWithPlan } | { error: string } {
  const findings = findingsOfLock(value);
  if (findings.length > 0) return { error: describe('the lock', findings) };
  const lock = value as RunLock;
  const plan = asPlan(lock.plan);
  return 'error' in plan ? { error: `its plan: ${plan.error}` } : { lock: { ...lock, plan: plan.plan } };
}

export type LockWithPlan = Omit<RunLock, 'plan'> & { plan: QuantizationPlan };
