// Calibrated activations with an observer without memory, such as the default one: its range is that of the last batch alone.
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import { observerFacts } from '../plan/observers.js';
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

/** An observer without memory, and the one that looks at all batches. */
interface Forgetful {
  observer: string;
  instead: string;
}

function forgetful(observer: string | null): Forgetful | null {
  const instead = observerFacts.find(({ name }) => name === observer)?.lastBatch ?? null;
  return observer === null || instead === null ? null : { observer, instead };
}

/** A text without its model is an example to be read: llm-compressor's own rely on that observer. */
const problem = ({ model }: Resolution, path: RecipePath, what: string, { observer, instead }: Forgetful, fix: ProblemFix): Problem => ({
  code: 'static-activations-last-batch',
  severity: model === null ? 'information' : 'warning',
  path,
  at: 'key',
  message: `Calibrated ${what} use the observer ${observer}, which keeps the range of the last batch only. Set observer: ${instead}, which ${instead === 'mse' ? 'averages the ranges' : 'keeps the range'} of all.`,
  fixes: [fix],
});

const setObserver = (path: RecipePath, key: string, said: unknown, { instead }: Forgetful): ProblemFix => ({
  title: `Set ${key}: ${instead}`,
  preferred: true,
  edits: [
    said === undefined ? { kind: 'insert-key', path, key, text: instead } : { kind: 'replace-value', path: [...path, key], text: instead },
  ],
});

function inSchemes({ modifier, groups }: ResolvedModifier, resolution: Resolution): Problem[] {
  return groups.flatMap(({ scheme, path, name }) =>
    (['input_activations', 'output_activations'] as const).flatMap((place) => {
      const args = scheme?.[place] ?? null;
      const found = args?.dynamic === false ? forgetful(args.observer) : null;
      if (found === null) return [];
      const what = place === 'input_activations' ? 'inputs' : 'outputs';
      const { field } = observerFields[place];
      // What the modifier says overrules the args.
      if (!path.includes('config_groups') || modifier.body[field] !== undefined)
        return [problem(resolution, path, what, found, setObserver(modifier.path, field, modifier.body[field], found))];
      const said = mappingOf(mappingOf(mappingOf(modifier.body['config_groups'])[name])[place]);
      return [problem(resolution, [...path, place], what, found, setObserver([...path, place], 'observer', said['observer'], found))];
    }),
  );
}

function inCache({ modifier: { body, path } }: ResolvedModifier, resolution: Resolution): Problem[] {
  const said = coerceTo('object', body['kv_cache_scheme']);
  if (said === undefined) return [];
  const at = [...path, 'kv_cache_scheme'];
  const problems: Problem[] = [];
  const { dynamic, observer } = expandArgs(mappingOf(said), at, false, null, problems);
  const found = problems.length > 0 || dynamic !== false ? null : forgetful(observer);
  if (found === null) return [];
  return [problem(resolution, at, 'keys and values', found, setObserver(at, 'observer', mappingOf(said)['observer'], found))];
}
