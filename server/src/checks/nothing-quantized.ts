// All patterns match something, and still no layer is left to quantize: everything targeted is ignored or of a class that is skipped.
import type { Problem } from '../../../schemas/src/problem.js';
import { containersMatching } from '../plan/container-modules.js';
import type { Resolution, ResolvedModifier } from '../plan/resolution.js';
import type { Check } from './check.js';
import { severityOfSilence } from './severity-of-silence.js';

export const nothingQuantized: Check = {
  code: 'nothing-quantized',
  run(resolution) {
    const { model, layers, quantization } = resolution;
    const [first] = quantization;
    // Of a model that is quantized already there is a problem of its own.
    if (model === null || model.quantization !== null || first === undefined) return [];
    const unsolved = quantization.find((resolved) => hasSchemes(resolved) && hasNothingToSolve(resolved, resolution));
    if (unsolved !== undefined) {
      const taker = whoTakesAll(unsolved, resolution);
      return [
        problem(
          unsolved,
          'error',
          taker === undefined
            ? 'GPTQModifier finds no linear layer whose weights it could solve, and llm-compressor fails on that. Widen targets, shorten ignore, or give its groups weights.'
            : `GPTQModifier has no layer left to solve: ${taker.modifier.name} behind it takes over all that it names. Remove one of the two, or give each its own targets.`,
        ),
      ];
    }
    if (!quantization.every(isReady)) return [];
    if (layers.some(({ scheme }) => scheme !== null && (scheme.weights ?? scheme.input_activations ?? scheme.output_activations) !== null))
      return [];
    if (namesNothing(first, resolution)) return [];
    return [
      problem(
        first,
        severityOfSilence(resolution),
        `No layer is left to quantize: of the ${layers.length} modules with a matrix, targets choose none that ignore does not take away (only Linear and Embedding modules can be quantized), or their scheme is empty. Widen targets or shorten ignore.`,
      ),
    ];
  },
};

const hasSchemes = ({ groups }: ResolvedModifier): boolean => groups.length > 0 && groups.every(({ scheme }) => scheme !== null);

/** Its schemes are known, and its targets match something; of others there are problems already. */
const isReady = (resolved: ResolvedModifier): boolean =>
  hasSchemes(resolved) && !resolved.patterns.some(({ kind, matches }) => kind === 'target' && matches?.length === 0);

/** A kv cache or attention can be all that is quantized. */
const namesNothing = ({ modifier, patterns }: ResolvedModifier, { model }: Resolution): boolean =>
  (modifier.body['kv_cache_scheme'] ?? null) !== null ||
  (model !== null &&
    patterns.some(
      ({ kind, entry }) => kind === 'target' && containersMatching(entry, model).some((container) => container.kind === 'attention'),
    ));

function hasNothingToSolve({ modifier, groups }: ResolvedModifier, { layers }: Resolution): boolean {
  if (modifier.name !== 'GPTQModifier') return false;
  const own = groups.map(({ scheme }) => scheme);
  return !layers.some(({ kind, scheme }) => kind === 'Linear' && scheme?.weights && own.includes(scheme));
}

/** A later modifier whose scheme the layers have that this one names. */
function whoTakesAll({ patterns }: ResolvedModifier, { layers, quantization }: Resolution): ResolvedModifier | undefined {
  const named = new Set(patterns.flatMap(({ kind, matches }) => (kind === 'target' ? (matches ?? []).map(({ name }) => name) : [])));
  const schemes = new Set(layers.flatMap(({ name, scheme }) => (named.has(name) ? [scheme] : [])));
  return quantization.findLast(({ groups }) => groups.some(({ scheme }) => scheme !== null && schemes.has(scheme)));
}

const problem = ({ modifier }: ResolvedModifier, severity: Problem['severity'], message: string): Problem => ({
  code: 'nothing-quantized',
  severity,
  path: modifier.path,
  at: 'key',
  message,
});
