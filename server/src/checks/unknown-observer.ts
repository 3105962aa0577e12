// An observer that llm-compressor does not have: it finds out when calibration starts, after the model is loaded.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { observerFacts } from '../plan/observers.js';
import type { ResolvedModifier } from '../plan/resolution.js';
import { saidObserver } from '../plan/said-observers.js';
import { changeTo } from '../recipe/change-to.js';
import { coerceTo, mappingOf } from '../recipe/coerce.js';
import { nearestName } from '../recipe/did-you-mean.js';
import type { Check } from './check.js';

const observers = observerFacts.filter(({ origin }) => origin === 'llm-compressor').map(({ name }) => name);

export const unknownObserver: Check = {
  code: 'unknown-observer',
  run: ({ quantization }) => quantization.flatMap((resolved) => [...inSchemes(resolved), ...inCache(resolved)]),
};

function inSchemes({ modifier, groups }: ResolvedModifier): Problem[] {
  return groups.flatMap((group) =>
    (['weights', 'input_activations', 'output_activations'] as const).flatMap((place): Problem[] => {
      const said = saidObserver(modifier, group, place);
      const args = group.scheme?.[place] ?? null;
      if (said === null || args === null || args.observer === null) return [];
      const own = observerFacts.find(({ name, origin }) => origin === 'bitwright' && name === args.observer);
      if (own?.observes.includes(place === 'weights' ? 'weights' : 'inputs') === true && place !== 'output_activations')
        return [ours(said.text, own.does, said.path)];
      if (!observers.includes(args.observer)) return [unknown(said.text, said.path)];
      const isUnseen = place === 'weights' && args.observer === 'imatrix_mse' && said.text !== 'imatrix_mse';
      return isUnseen && modifier.name !== 'GPTQModifier' ? [unseen(said.text, said.path)] : [];
    }),
  );
}

function inCache({ modifier: { body, path } }: ResolvedModifier): Problem[] {
  const args = mappingOf(body['kv_cache_scheme']);
  const observer = args['observer'];
  const isDynamic: QuantizationArgs['dynamic'] = coerceTo('boolean', args['dynamic']) === true;
  if (typeof observer !== 'string' || isDynamic || observers.includes(observer.toLowerCase().replaceAll('-', '_'))) return [];
  return [unknown(observer, [...path, 'kv_cache_scheme', 'observer'])];
}

function unknown(text: string, path: RecipePath): Problem {
  const near = nearestName(text, observers);
  return {
    code: 'unknown-observer',
    severity: 'error',
    path,
    at: 'value',
    message: `${JSON.stringify(text)} is no observer of llm-compressor, which fails when it starts to calibrate${near === null ? `; there are ${observers.join(', ')}.` : `; did you mean ${near}?`}`,
    ...(near === null ? {} : { fixes: [changeTo(near, path)] }),
  };
}

/** Not a fault: the recipe runs here, and whoever shares it should know that it does not run elsewhere. */
const ours = (text: string, does: string, path: RecipePath): Problem => ({
  code: 'unknown-observer',
  severity: 'information',
  path,
  at: 'value',
  message: `${text} is an observer of Bitwright's own (${does}); llm-compressor does not have it and fails when it starts to calibrate.`,
});

const unseen = (text: string, path: RecipePath): Problem => ({
  code: 'unknown-observer',
  severity: 'warning',
  path,
  at: 'value',
  message: `${text} means imatrix_mse, and only in that spelling llm-compressor sees that it needs calibration data; without data every column weighs the same. Write imatrix_mse.`,
  fixes: [changeTo('imatrix_mse', path)],
});
