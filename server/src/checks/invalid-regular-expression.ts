// An entry that cannot be used: mostly a re: pattern that is no regular expression, which llm-compressor finds out only while matching modules.
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { coerceTo } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const invalidRegularExpression: Check = {
  code: 'invalid-regular-expression',
  run: ({ quantization, modifiers }) => [
    ...quantization.flatMap(({ patterns }) =>
      patterns.flatMap(({ error, entry, path }) => (error === null ? [] : [problem(entry, path, error)])),
    ),
    ...modifiers.flatMap(inMappings),
  ],
};

const problem = (entry: string, path: RecipePath, error: string): Problem => ({
  code: 'invalid-regular-expression',
  severity: 'error',
  path,
  at: 'value',
  message: `${shortened(entry)} cannot be used as a pattern: ${error}. Mend it; a dot is written \\. and a bracket \\(.`,
  ...fixOf(entry, path),
});

/** A star at the start is a shell's way to say anything; in a pattern it repeats what stands before it. */
function fixOf(entry: string, path: RecipePath): Pick<Problem, 'fixes'> {
  const meant = entry.replace(/^re:\*+/, 're:.*');
  if (meant === entry || 'error' in compileTarget(meant)) return {};
  return { fixes: [{ title: `Change to ${meant}`, preferred: true, edits: [{ kind: 'replace-value', path, text: quoted(meant) }] }] };
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Mappings name layers by patterns too. */
function inMappings({ path, body }: RecipeModifier): Problem[] {
  const problems: Problem[] = [];
  const walk = (value: unknown, at: RecipePath): void => {
    if (typeof value === 'string' && value.startsWith('re:')) {
      const compiled = compileTarget(value);
      if ('error' in compiled) problems.push(problem(value, at, compiled.error));
    } else if (Array.isArray(value)) value.forEach((item, index) => walk(item, [...at, index]));
    else for (const [key, item] of Object.entries((coerceTo('object', value) ?? {}) as Record<string, unknown>)) walk(item, [...at, key]);
  };
  walk(body['mappings'], [...path, 'mappings']);
  return problems;
}

const shortened = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);
