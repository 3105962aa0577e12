// The compiled ajv validators, one function per schema; the only importer of ajv.
import Ajv from 'ajv';
import type { ErrorObject, ValidateFunction } from 'ajv';
import planSchema from '../plan.schema.json';
import recipeSchema from '../recipe.schema.json';
import calibrationSchema from '../recipe/calibration.schema.json';
import evaluateSchema from '../recipe/evaluate.schema.json';
import outputSchema from '../recipe/output.schema.json';
import constantPruningSchema from '../recipe/pruning/constant.schema.json';
import magnitudePruningSchema from '../recipe/pruning/magnitude.schema.json';
import reapSchema from '../recipe/pruning/reap.schema.json';
import sparsegptSchema from '../recipe/pruning/sparsegpt.schema.json';
import wandaSchema from '../recipe/pruning/wanda.schema.json';
import autoroundSchema from '../recipe/quantizers/autoround.schema.json';
import gptqSchema from '../recipe/quantizers/gptq.schema.json';
import rtnSchema from '../recipe/quantizers/rtn.schema.json';
import schemeSchema from '../recipe/scheme.schema.json';
import awqSchema from '../recipe/transforms/awq.schema.json';
import logEqualizationSchema from '../recipe/transforms/log-equalization.schema.json';
import quipSchema from '../recipe/transforms/quip.schema.json';
import smoothquantSchema from '../recipe/transforms/smoothquant.schema.json';
import spinquantSchema from '../recipe/transforms/spinquant.schema.json';
import reportSchema from '../report.schema.json';
import type { QuantizationPlan } from './generated/plan.js';
import type { RunReport } from './generated/report.js';

/** One finding of a validator, with the library's names hidden. */
export interface SchemaFinding {
  /** Keys and indices from the root. */
  path: (string | number)[];
  keyword: string;
  params: Record<string, unknown>;
  message: string;
}

const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true, strictTypes: false });
ajv.addVocabulary(['x-bitwright']);
const quantizerParts = [rtnSchema, gptqSchema, autoroundSchema];
const transformParts = [smoothquantSchema, awqSchema, logEqualizationSchema, quipSchema, spinquantSchema];
const pruningParts = [sparsegptSchema, wandaSchema, magnitudePruningSchema, constantPruningSchema, reapSchema];
const recipeParts = [calibrationSchema, evaluateSchema, outputSchema, schemeSchema, ...quantizerParts, ...transformParts, ...pruningParts];
for (const part of recipeParts) ajv.addSchema(part);

/** The recipe schema by file, as its references name them, for editor features. */
export const recipeSchemaFiles = {
  entry: recipeSchema.$id,
  files: Object.fromEntries([recipeSchema, ...recipeParts].map((part) => [part.$id, part as object])),
};

const compiled = new Map<object, ValidateFunction>();

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

function check(schema: object, value: unknown): SchemaFinding[] {
  let validate = compiled.get(schema);
  if (validate === undefined) {
    validate = ajv.compile(schema);
    compiled.set(schema, validate);
  }
  if (validate(value)) return [];
  return (validate.errors ?? []).map((error: ErrorObject) => ({
    path: pathOf(error.instancePath, value),
    keyword: error.keyword,
    params: error.params as Record<string, unknown>,
    message: error.message ?? error.keyword,
  }));
}

export const findingsOfRecipe = (value: unknown): SchemaFinding[] => check(recipeSchema, value);
export const findingsOfReport = (value: unknown): SchemaFinding[] => check(reportSchema, value);

const describe = (findings: readonly SchemaFinding[]): string =>
  findings
    .slice(0, 3)
    .map((finding) => `${finding.path.join('.') || 'the plan'} ${finding.message}`)
    .join('; ');

/** A plan that crossed a process border; answers a sentence when it is none. */
export function asPlan(value: unknown): { plan: QuantizationPlan } | { error: string } {
  const findings = check(planSchema, value);
  return findings.length === 0 ? { plan: value as QuantizationPlan } : { error: describe(findings) };
}

export function asReport(value: unknown): { report: RunReport } | { error: string } {
  const findings = check(reportSchema, value);
  return findings.length === 0 ? { report: value as RunReport } : { error: describe(findings) };
}
