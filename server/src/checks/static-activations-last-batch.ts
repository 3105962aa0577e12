// Calibrated activations with the default observer: its range is that of the last batch alone.
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import { expandArgs } from '../plan/quantization-args.js';
import type { Resolution, ResolvedModifier } from '../plan/resolution.js';
import { observerFields } from '../plan/said-observers.js';
import { coerceTo, mappingOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const staticActivationsLastBatch: Check = {
  code: 'static-activations-last-batch',
  run: (resolution) =>
    // AutoRound learns the ranges itself, without observers.
    resolution.quantization
      .filter(({ modifier }) => modifier.name !== 'AutoRoundModifier')
      .flatMap((resolved) => [...inSchemes(resolved, resolution), ...inCache(resolved, resolution)]),
};

/** A text without its model is an example to be read: llm-compressor's own rely on that observer. */
const problem = ({ model }: Resolution, path: RecipePath, what: string, fix: ProblemFix): Problem => ({
  code: 'static-activations-last-batch',
  severity: model === null ? 'information' : 'warning',
  path,
  at: 'key',
  message: `Calibrated ${what} use the observer memoryless_minmax, which keeps the range of the last batch only. Set observer: static_minmax, which keeps the range of all.`,
  fixes: [fix],
});

const setObserver = (path: RecipePath, key: string, said: unknown): ProblemFix => ({
  title: `Set ${key}: static_minmax`,
  preferred: true,
  edits: [
    said === undefined
      ? { kind: 'insert-key', path, key, text: 'static_minmax' }
      : { kind: 'replace-value', path: [...path, key], text: 'static_minmax' },
  ],
});

function inSchemes({ modifier, groups }: ResolvedModifier, resolution: Resolution): Problem[] {
  return groups.flatMap(({ scheme, path, name }) =>
    (['input_activations', 'output_activations'] as const).flatMap((place) => {
      const args = scheme?.[place] ?? null;
      if (args?.dynamic !== false || args.observer !== 'memoryless_minmax') return [];
      const what = place === 'input_activations' ? 'inputs' : 'outputs';
      const { field } = observerFields[place];
      // What the modifier says overrules the args.
      if (!path.includes('config_groups') || modifier.body[field] !== undefined)
        return [problem(resolution, path, what, setObserver(modifier.path, field, modifier.body[field]))];
      const said = mappingOf(mappingOf(mappingOf(modifier.body['config_groups'])[name])[place]);
      return [problem(resolution, [...path, place], what, setObserver([...path, place], 'observer', said['observer']))];
    }),
  );
}

function inCache({ modifier: { body, path } }: ResolvedModifier, resolution: Resolution): Problem[] {
  const said = coerceTo('object', body['kv_cache_scheme']);
  if (said === undefined) return [];
  const at = [...path, 'kv_cache_scheme'];
  const problems: Problem[] = [];
  const { dynamic, observer } = expandArgs(mappingOf(said), at, false, null, problems);
  if (problems.length > 0 || dynamic !== false || observer !== 'memoryless_minmax') return [];
  return [problem(resolution, at, 'keys and values', setObserver(at, 'observer', mappingOf(said)['observer']))];
}
