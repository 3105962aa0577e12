// A quantization modifier that says no scheme: an error of llm-compressor when it has no field at all, else silently nothing.
import type { RecipeEdit, RecipePath } from '../../../schemas/src/problem.js';
import { coerceTo, textsOf } from '../recipe/coerce.js';
import type { Check } from './check.js';
import { severityOfSilence } from './severity-of-silence.js';

/** They fail when they find no layer to solve; QuantizationModifier writes the model as it was. */
const solvers = ['GPTQModifier', 'AutoRoundModifier'];

export const schemeMissing: Check = {
  code: 'scheme-missing',
  run: (resolution) =>
    resolution.quantization
      .filter(
        ({ modifier: { name, body, path }, groups }) =>
          // What is no mapping has a problem of its own.
          coerceTo('object', resolution.document.valueAt(path)) !== undefined &&
          groups.length === 0 &&
          [body['scheme'], body['config_groups']].every(isNothing) &&
          (solvers.includes(name) || (body['kv_cache_scheme'] ?? null) === null),
      )
      .map(({ modifier: { name, path, body } }) => {
        const isRefused = solvers.includes(name) || !saysAnything(body);
        return {
          code: 'scheme-missing',
          severity: isRefused ? 'error' : severityOfSilence(resolution),
          path,
          at: 'key',
          message: `${name} has neither scheme nor config_groups, so ${isRefused ? 'llm-compressor fails' : 'nothing would be quantized, and llm-compressor says nothing'}. Add a scheme, such as W4A16.`,
          fixes: [{ title: 'Add scheme: W4A16', preferred: true, edits: schemeEdits(path, body) }],
        };
      }),
};

/** A value of a wrong type or a name that does not exist has a problem of its own. */
const isNothing = (said: unknown): boolean => {
  const mapping = coerceTo('object', said ?? {});
  return mapping !== undefined && Object.keys(mapping as object).length === 0;
};

/** What is there and empty makes room, as both together are refused. */
function schemeEdits(path: RecipePath, body: Readonly<Record<string, unknown>>): RecipeEdit[] {
  const text = 'W4A16';
  const hasGroups = Object.hasOwn(body, 'config_groups');
  if (Object.hasOwn(body, 'scheme'))
    return [
      { kind: 'replace-value', path: [...path, 'scheme'], text },
      ...(hasGroups ? [{ kind: 'remove' as const, path: [...path, 'config_groups'] }] : []),
    ];
  if (!hasGroups) return [{ kind: 'insert-key', path, key: 'scheme', text }];
  const at = [...path, 'config_groups'];
  return [
    { kind: 'replace-key', path: at, text: 'scheme' },
    { kind: 'replace-value', path: at, text },
  ];
}

/** llm-compressor looks at these fields alone, and at whether they differ from their defaults. */
function saysAnything(body: Readonly<Record<string, unknown>>): boolean {
  const targets = textsOf(body['targets'] ?? 'Linear');
  return (
    (body['config_groups'] ?? null) !== null ||
    (body['scheme'] ?? null) !== null ||
    textsOf(body['ignore']).length > 0 ||
    targets.length !== 1 ||
    targets[0] !== 'Linear'
  );
}
