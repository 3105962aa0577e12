// A value of another type than its field's, dates among them; what pydantic would convert is none.
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import { changeTo } from './change-to.js';
import { coerceTo, type FieldType } from './coerce.js';
import { fieldsBeside, findingsOfRecipe } from './recipe-schema.js';
import { problemAt, samePath, show, type Refusal } from './refusal.js';

export function wrongType(refusal: Refusal): Problem | null {
  const { path, params, findings, document, field, value } = refusal;
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
  if (value === null && /Modifier$/.test(field)) {
    // Its fields stand beside it: unknown-modifier moves them.
    if (path.length === 3 && fieldsBeside(path, document.valueAt(path.slice(0, -1))).length > 0) return null;
    return problemAt(
      refusal,
      'modifier-without-body',
      `${field} has no body, llm-compressor fails on it. Give it fields, or {} for its defaults.`,
      [{ title: 'Insert {}', preferred: true, edits: [{ kind: 'replace-value', path, text: '{}' }] }],
    );
  }
  return problemAt(
    refusal,
    'wrong-type',
    `${field} is ${show(value)}; it must be ${[...new Set(all)]
      .filter((type) => type !== 'null')
      .map(typeName)
      .join(' or ')}.`,
    typeFixes(refusal, all),
  );
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

/** A lone name where a list is wanted, a lone path where a mapping is; 2:4, which YAML 1.1 takes for a number counted in sixties. What else was meant is not guessed. */
function typeFixes({ document, path, value }: Refusal, wanted: readonly FieldType[]): ProblemFix[] {
  const source = document.sourceOf(path);
  if (source === null) return [];
  // As Python prints null.
  if (source === 'None' && wanted.includes('null')) return [changeTo('null', path)];
  // A list of mappings or pairs is not made of a name.
  if (typeof value === 'string' && wanted.includes('array') && !source.includes('\n') && isAccepted([value], path, document.value)) {
    const text = `[${quotedInFlow(source)}]`;
    return [{ title: `Make it a list: ${text}`, preferred: true, edits: [{ kind: 'replace-value', path, text }] }];
  }
  const key =
    typeof value === 'string' &&
    !source.includes('\n') &&
    ['dir', 'dataset'].find((name) => isAccepted({ [name]: value }, path, document.value));
  if (typeof key === 'string') {
    const text = `{${key}: ${quotedInFlow(source)}}`;
    return [{ title: `Make it a mapping: ${text}`, preferred: true, edits: [{ kind: 'replace-value', path, text }] }];
  }
  return typeof value === 'number' && wanted.includes('string') && /^\d+:\d+$/.test(source) ? [quotesAround(source, path)] : [];
}

const quotedInFlow = (source: string): string =>
  /^['"]/.test(source) || !/[[\]{},]/.test(source) ? source : `'${source.replaceAll("'", "''")}'`;

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

/** A date is an object to the validator, and no field of a modifier takes one. */
export function datesIn(value: unknown, path: RecipePath): RecipePath[] {
  if (value instanceof Date) return path.length > 3 && String(path[0]).endsWith('_stage') ? [path] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => datesIn(item, [...path, Array.isArray(value) ? Number(key) : key]));
}

export const dateProblem = (path: RecipePath, source: string | null): Problem => ({
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
