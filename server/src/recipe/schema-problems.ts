// What the recipe schema refuses → problems in recipe words. What pydantic would convert is not refused.
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import { schemaValidator, type SchemaFinding } from '../../../schemas/src/json-schema.js';
import { recipeSchemaFiles } from '../../../schemas/src/recipe-schema-files.js';
import { coerceTo } from './coerce.js';
import type { FieldType } from './coerce.js';
import { nearestName } from './did-you-mean.js';

const findingsOfRecipe = schemaValidator(recipeSchemaFiles.files, recipeSchemaFiles.entry);

/** Fields of older releases → what became of them. */
const retiredFields: Record<string, string> = {
  percdamp: 'the field is called dampening_frac',
  sequential_update: 'it was removed in llm-compressor 0.8; runs are always sequential',
  sequential_targets: 'it became an argument of oneshot in 0.11',
  quantize: 'it was removed; give scheme or config_groups',
  num_calibration_steps: 'it was removed from the quantization modifiers; use calibration.num_calibration_samples',
  disable_quantization_observer_epoch: 'it belonged to training and was removed',
  group: 'the loader sets it itself, from the name of the *_modifiers key',
};

/** AWQModifier quantized on its own until 0.10. */
const awqPart =
  'valid until llm-compressor 0.10; in 0.11 the quantization part became a modifier of its own, such as QuantizationModifier, behind AWQModifier';
const retiredOfModifiers: ReadonlyMap<string, string> = new Map([
  ...['scheme', 'targets', 'ignore', 'config_groups'].map((field): [string, string] => [`AWQModifier.${field}`, awqPart]),
  ['GGUFModifier.scheme', 'it is called type here, as in llama.cpp'],
  ['AWQModifier.max_chunk_memory', 'valid until llm-compressor 0.10; nothing takes its place'],
]);

const valueAt = (root: unknown, path: RecipePath): unknown =>
  path.reduce<unknown>((node, step) => (node as Record<string | number, unknown> | undefined)?.[step], root);
const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
const samePath = (a: RecipePath, b: RecipePath): boolean => a.length === b.length && a.every((step, i) => step === b[i]);

/** `sourceOf`: a scalar as it is written; null where the text does not hold it. */
export function schemaProblems(value: unknown, sourceOf: (path: RecipePath) => string | null): Problem[] {
  const findings = findingsOfRecipe(value).filter((finding) => finding.keyword !== 'anyOf' && finding.keyword !== 'oneOf');
  const problems: Problem[] = [];
  for (const finding of findings) {
    // The `null` branch of an optional object always fails beside the real reason.
    if (finding.keyword === 'type' && finding.params['type'] === 'null' && !isAloneAt(finding, findings)) continue;
    // A stage or group that is no mapping is passed over without a word: recipe-yields-no-modifier and unknown-key speak of it.
    if (finding.keyword === 'type' && isStageOrGroup(finding.path)) continue;
    const problem = problemOf(finding, findings, value, sourceOf);
    if (problem !== null && !problems.some((other) => other.message === problem.message && samePath(other.path, problem.path)))
      problems.push(problem);
  }
  for (const path of datesIn(value, []))
    if (!problems.some((other) => samePath(other.path, path))) problems.push(dateProblem(path, sourceOf(path)));
  return problems;
}

/** A date is an object to the validator, and no field of a modifier takes one. */
function datesIn(value: unknown, path: RecipePath): RecipePath[] {
  if (value instanceof Date) return path.length > 3 && String(path[0]).endsWith('_stage') ? [path] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => datesIn(item, [...path, Array.isArray(value) ? Number(key) : key]));
}

const dateProblem = (path: RecipePath, source: string | null): Problem => ({
  code: 'wrong-type',
  severity: 'error',
  path,
  at: 'value',
  message: `${String(path.at(-1))} is a date to YAML 1.1. Put quotes around it if it is a text.`,
  ...(source === null ? {} : { fixes: [quotesAround(source, path)] }),
});

const quotesAround = (source: string, path: RecipePath): ProblemFix => ({
  title: `Put quotes around ${source}`,
  preferred: true,
  edits: [{ kind: 'replace-value', path, text: `'${source}'` }],
});

/** A lone name where a list is wanted; 2:4, which YAML 1.1 takes for a number counted in sixties. What else was meant is not guessed. */
function typeFixes(root: unknown, wanted: readonly FieldType[], path: RecipePath, source: string | null): ProblemFix[] {
  const value = valueAt(root, path);
  if (source === null) return [];
  // A list of mappings or pairs is not made of a name.
  if (typeof value === 'string' && wanted.includes('array') && !source.includes('\n') && isAccepted([value], path, root)) {
    const text = `[${/^['"]/.test(source) || !/[[\]{},]/.test(source) ? source : `'${source.replaceAll("'", "''")}'`}]`;
    return [{ title: `Make it a list: ${text}`, preferred: true, edits: [{ kind: 'replace-value', path, text }] }];
  }
  return typeof value === 'number' && wanted.includes('string') && /^\d+:\d+$/.test(source) ? [quotesAround(source, path)] : [];
}

/** Whether the schema would take this value at the path. */
function isAccepted(value: unknown, path: RecipePath, root: unknown): boolean {
  const put = (node: unknown, at: RecipePath): unknown => {
    const [first, ...others] = at;
    if (first === undefined) return value;
    const inner = put((node as Record<string | number, unknown>)[first], others);
    return Array.isArray(node) ? node.with(Number(first), inner) : { ...(node as object), [first]: inner };
  };
  return !findingsOfRecipe(put(root, path)).some((finding) => path.every((part, index) => finding.path[index] === part));
}

const isAloneAt = (finding: SchemaFinding, findings: readonly SchemaFinding[]): boolean =>
  !findings.some(
    (other) => other !== finding && other.path.length >= finding.path.length && finding.path.every((step, i) => other.path[i] === step),
  );

const isStageOrGroup = ([stage, group, ...rest]: RecipePath): boolean =>
  rest.length === 0 && String(stage).endsWith('_stage') && (group === undefined || String(group).endsWith('_modifiers'));

function problemOf(
  finding: SchemaFinding,
  findings: readonly SchemaFinding[],
  root: unknown,
  sourceOf: (path: RecipePath) => string | null,
): Problem | null {
  const { path, keyword, params } = finding;
  const field = path.filter((step) => typeof step === 'string').at(-1) ?? 'the recipe';
  const value = valueAt(root, path);
  const at = (code: string, message: string, fixes?: ProblemFix[]): Problem => ({
    code,
    severity: 'error',
    path,
    at: 'value',
    message,
    ...(fixes ? { fixes } : {}),
  });
  switch (keyword) {
    case 'additionalProperties': {
      const key = String(params['additionalProperty']);
      const known = knownKeys(path);
      const near = nearestName(key, known);
      const retired = retiredOfModifiers.get(`${field}.${key}`) ?? (Object.hasOwn(retiredFields, key) ? retiredFields[key] : undefined);
      const what = `${key} is not a field of ${field}`;
      const way = retired !== undefined ? `: ${retired}.` : near !== null ? `; did you mean ${near}?` : `; it has ${known.join(', ')}.`;
      const fixes: ProblemFix[] = [];
      const isType = field === 'GGUFModifier' && key === 'scheme' && valueAt(root, [...path, 'type']) === undefined;
      if (retired === undefined && near !== null)
        fixes.push({ title: `Rename to ${near}`, preferred: true, edits: [{ kind: 'replace-key', path: [...path, key], text: near }] });
      const called = key === 'percdamp' ? 'dampening_frac' : isType ? 'type' : null;
      if (called !== null)
        fixes.push({
          title: `Rename to ${called}`,
          preferred: true,
          edits: [{ kind: 'replace-key', path: [...path, key], text: called }],
        });
      // An empty key has no text to remove.
      if (key !== '') fixes.push({ title: `Remove ${key}`, preferred: false, edits: [{ kind: 'remove', path: [...path, key] }] });
      return { ...at('unknown-field', what + way, fixes), path: [...path, key], at: 'key' };
    }
    case 'required': {
      const key = String(params['missingProperty']);
      return { ...at('field-missing', `${field} needs ${key}. Add it under ${field}.`), at: 'key' };
    }
    case 'type': {
      const types = ([] as unknown[]).concat(params['type']).flatMap((type) => String(type).split(',')) as FieldType[];
      // Alternatives of one value are reported one by one; any that fits is enough.
      const all = [
        ...types,
        ...findings
          .filter((other) => other.keyword === 'type' && samePath(other.path, path))
          .flatMap((other) => ([] as unknown[]).concat(other.params['type']) as FieldType[]),
      ];
      if (all.some((type) => coerceTo(type, value) !== undefined)) return null;
      // A text where names are listed is a wrong name, not a wrong type.
      if (typeof value === 'string' && findings.some((other) => other.keyword === 'enum' && samePath(other.path, path))) return null;
      if (value === null && /Modifier$/.test(field))
        return at('modifier-without-body', `${field} has no body, llm-compressor fails on it. Give it fields, or {} for its defaults.`, [
          { title: 'Insert {}', preferred: true, edits: [{ kind: 'replace-value', path, text: '{}' }] },
        ]);
      return at(
        'wrong-type',
        `${field} is ${show(value)}; it must be ${[...new Set(all)]
          .filter((type) => type !== 'null')
          .map(typeName)
          .join(' or ')}.`,
        typeFixes(root, all, path, sourceOf(path)),
      );
    }
    case 'enum': {
      const allowed = (params['allowedValues'] as unknown[]).filter((item) => item !== null).map(String);
      // Preset names are matched without case; a mapping from presets to targets has its own branch.
      if (field === 'scheme') {
        if (typeof value !== 'string' || allowed.some((name) => name.toLowerCase() === value.toLowerCase())) return null;
      } else if (typeof value === 'string' && allowed.includes(value)) return null;
      const isDevice = field === 'device' && path.length === 1;
      // Who writes gpu means no processor, however near its name is.
      const near = isDevice && /^gpu/i.test(String(value)) ? 'cuda' : nearestName(String(value), allowed);
      const form =
        field === 'runtime'
          ? ' A version stands behind the name, as in vllm==0.11.0.'
          : isDevice
            ? ' One CUDA device is cuda:0, several are cuda:0,1, cuda is all of them.'
            : '';
      const fixes: ProblemFix[] =
        near === null ? [] : [{ title: `Change to ${near}`, preferred: true, edits: [{ kind: 'replace-value', path, text: near }] }];
      return at(
        field === 'scheme' ? 'unknown-scheme' : 'unknown-value',
        near === null
          ? `${field} is ${show(value)}, which is none of ${allowed.join(', ')}.${form}`
          : `${field} ${show(value)} does not exist; did you mean ${near}? All are: ${allowed.join(', ')}.${form}`,
        fixes,
      );
    }
    // The names beside it, which speak for both, are an enumeration.
    case 'pattern':
      if (field !== 'max_memory' && field !== 'max_device_memory') return null;
      return at(
        'unknown-value',
        `${field} is ${show(value)}, which is no size: write a number of bytes, or one with a unit, such as 8GB or 500MiB.`,
      );
    case 'minimum':
      return coerceTo('number', value) === undefined
        ? null
        : at('value-too-small', `${field} is ${show(value)}; it must be at least ${String(params['limit'])}.`);
    case 'exclusiveMinimum':
      return coerceTo('number', value) === undefined
        ? null
        : at('value-too-small', `${field} is ${show(value)}; it must be more than ${String(params['limit'])}.`);
    case 'maximum': {
      if (coerceTo('number', value) === undefined) return null;
      const more = `${field} is ${show(value)}; it must be at most ${String(params['limit'])}.`;
      if (field !== 'threads') return at('value-out-of-range', more);
      return at(
        'value-out-of-range',
        `${more} No machine has more cores, threads beyond them only wait for each other, and the worker refuses more. Lower it, or leave it out: it is then one thread per physical core.`,
        [{ title: 'Remove threads', preferred: true, edits: [{ kind: 'remove', path }] }],
      );
    }
    case 'minItems':
    case 'maxItems':
      return at(
        'wrong-length',
        `${field} has an entry of ${Array.isArray(value) ? value.length : 0} elements; a mapping is a pair [[balance layers], smooth layer].`,
      );
    default:
      return at('schema', `${field} ${finding.message}.`);
  }
}

const typeNames: Partial<Record<FieldType, string>> = {
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  string: 'text',
  array: 'a list',
  object: 'a mapping',
};
const typeName = (type: FieldType): string => typeNames[type] ?? type;

type Schema = Record<string, unknown>;

/** Keys that the schema allows at a path, bookkeeping left out. */
export function knownKeys(path: RecipePath): string[] {
  let here: { schema: Schema; file: string }[] = resolve({
    schema: recipeSchemaFiles.files[recipeSchemaFiles.entry] as Schema,
    file: recipeSchemaFiles.entry,
  });
  for (const step of path)
    here = here.flatMap(({ schema, file }) => {
      const properties = (schema['properties'] ?? {}) as Record<string, Schema>;
      const patterns = Object.entries((schema['patternProperties'] ?? {}) as Record<string, Schema>);
      const next =
        typeof step === 'number'
          ? schema['items']
          : ((Object.hasOwn(properties, step) ? properties[step] : undefined) ??
            patterns.find(([pattern]) => new RegExp(pattern).test(step))?.[1] ??
            schema['additionalProperties']);
      return typeof next === 'object' && next !== null ? resolve({ schema: next as Schema, file }) : [];
    });
  return here
    .flatMap(({ schema }) => Object.keys((schema['properties'] ?? {}) as object))
    .filter((key) => !key.endsWith('_') && !['index', 'start', 'end', 'update'].includes(key));
}

function resolve(place: { schema: Schema; file: string }): { schema: Schema; file: string }[] {
  const reference = place.schema['$ref'];
  if (typeof reference === 'string') {
    const [name = '', fragment = ''] = reference.split('#');
    const file = name === '' ? place.file : joinPath(place.file, name);
    let target = recipeSchemaFiles.files[file] as unknown;
    for (const part of fragment.split('/').filter(Boolean)) target = (target as Record<string, unknown>)[part];
    return resolve({ schema: target as Schema, file });
  }
  const branches = place.schema['anyOf'] as Schema[] | undefined;
  return branches === undefined ? [place] : branches.flatMap((schema) => resolve({ schema, file: place.file }));
}

function joinPath(from: string, to: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of to.split('/'))
    if (part === '..') parts.pop();
    else parts.push(part);
  return parts.join('/');
}
