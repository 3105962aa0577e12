// What the recipe schema refuses → problems in recipe words. What pydantic would convert is not refused.
import type { SchemaFinding } from '../../../schemas/src/json-schema.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { coerceTo } from './coerce.js';
import type { RecipeDocument } from './recipe-document.js';
import { findingsOfRecipe } from './recipe-schema.js';
import { problemAt, refusalOf, samePath, show, type Refusal } from './refusal.js';
import { unknownField } from './unknown-field.js';
import { valueNotListed } from './value-not-listed.js';
import { dateProblem, datesIn, wrongType } from './wrong-type.js';

export function schemaProblems(document: RecipeDocument): Problem[] {
  const findings = findingsOfRecipe(document.value).filter((finding) => finding.keyword !== 'anyOf' && finding.keyword !== 'oneOf');
  const problems: Problem[] = [];
  for (const finding of findings) {
    // The `null` branch of an optional object always fails beside the real reason.
    if (finding.keyword === 'type' && finding.params['type'] === 'null' && !isAloneAt(finding, findings)) continue;
    // A stage or group that is no mapping is passed over without a word: recipe-yields-no-modifier and unknown-key speak of it.
    if (finding.keyword === 'type' && isStageOrGroup(finding.path)) continue;
    const problem = problemOf(refusalOf(finding, { findings, document }));
    if (problem !== null && !problems.some((other) => other.message === problem.message && samePath(other.path, problem.path)))
      problems.push(problem);
  }
  for (const path of datesIn(document.value, []))
    if (!problems.some((other) => samePath(other.path, path))) problems.push(dateProblem(path, document.sourceOf(path)));
  return problems;
}

const isAloneAt = (finding: SchemaFinding, findings: readonly SchemaFinding[]): boolean =>
  !findings.some(
    (other) => other !== finding && other.path.length >= finding.path.length && finding.path.every((step, i) => other.path[i] === step),
  );

const isStageOrGroup = ([stage, group, ...rest]: RecipePath): boolean =>
  rest.length === 0 && String(stage).endsWith('_stage') && (group === undefined || String(group).endsWith('_modifiers'));

function problemOf(refusal: Refusal): Problem | null {
  const { path, keyword, params, field, value, message } = refusal;
  switch (keyword) {
    case 'additionalProperties':
      return unknownField(refusal);
    case 'required': {
      const key = String(params['missingProperty']);
      return { ...problemAt(refusal, 'field-missing', `${field} needs ${key}. Add it under ${field}.`), at: 'key' };
    }
    case 'type':
      return wrongType(refusal);
    case 'enum':
      return valueNotListed(refusal);
    // The names beside it, which speak for both, are an enumeration.
    case 'pattern':
      if (field !== 'max_memory' && field !== 'max_device_memory') return null;
      return problemAt(
        refusal,
        'unknown-value',
        `${field} is ${show(value)}, which is no size: write a number of bytes, or one with a unit, such as 8GB or 500MiB.`,
      );
    case 'minimum':
      return coerceTo('number', value) === undefined
        ? null
        : problemAt(refusal, 'value-too-small', `${field} is ${show(value)}; it must be at least ${String(params['limit'])}.`);
    case 'exclusiveMinimum':
      return coerceTo('number', value) === undefined
        ? null
        : problemAt(refusal, 'value-too-small', `${field} is ${show(value)}; it must be more than ${String(params['limit'])}.`);
    case 'maximum': {
      if (coerceTo('number', value) === undefined) return null;
      const more = `${field} is ${show(value)}; it must be at most ${String(params['limit'])}.`;
      if (field !== 'threads') return problemAt(refusal, 'value-out-of-range', more);
      return problemAt(
        refusal,
        'value-out-of-range',
        `${more} No machine has more cores, threads beyond them only wait for each other, and the worker refuses more. Lower it, or leave it out: it is then one thread per physical core.`,
        [{ title: 'Remove threads', preferred: true, edits: [{ kind: 'remove', path }] }],
      );
    }
    case 'minItems':
    case 'maxItems':
      return problemAt(
        refusal,
        'wrong-length',
        `${field} has an entry of ${Array.isArray(value) ? value.length : 0} elements; a mapping is a pair [[balance layers], smooth layer].`,
      );
    default:
      return problemAt(refusal, 'schema', `${field} ${message}.`);
  }
}
