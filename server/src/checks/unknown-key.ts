// A top-level key that nobody reads, near one that somebody does.
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { coerceTo, mappingOf } from '../recipe/coerce.js';
import { nearestName } from '../recipe/did-you-mean.js';
import type { Check } from './check.js';

const ownKeys = ['model', 'calibration', 'evaluate', 'gates', 'canary', 'output', 'device', 'threads', 'max_memory', 'max_device_memory'];
/** Arguments of llm-compressor's oneshot that a recipe says elsewhere. */
const places: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ['dataset', 'text_column', 'num_calibration_samples', 'max_seq_length', 'shuffle_calibration_samples', 'seed'].map((key) => [
      key,
      `calibration, as ${key}`,
    ]),
  ),
  output_dir: 'output, as dir',
};
const tolerated = ['args', 'metadata', 'recipe_type', 'budget'];

export const unknownKey: Check = {
  code: 'unknown-key',
  run: ({ document, modifiers }) => (modifiers.length === 0 ? [] : [...atTop(document.value), ...inStages(document.value)]),
};

/** Stages had these until 0.6; the package passes over them, and what they ask for is done anyway. */
const harmlessInStages = ['run_type', 'args'];

/** Beside at least one modifier that counts: what llm-compressor passes over in stages, without a word. */
function inStages(recipe: Readonly<Record<string, unknown>>): Problem[] {
  const problem = (path: RecipePath, message: string): Problem => ({
    code: 'unknown-key',
    severity: 'warning',
    path,
    at: 'key',
    message: `${message} llm-compressor passes over it without a word.`,
  });
  return Object.entries(recipe)
    .filter(([key]) => key.endsWith('_stage'))
    .flatMap(([stage, groups]) => {
      if (coerceTo('object', groups) === undefined) return [problem([stage], `${stage} is no mapping, so no modifier is read from it.`)];
      return Object.entries(mappingOf(groups)).flatMap(([group, body]) => {
        const path = [stage, group];
        if (!group.endsWith('_modifiers')) {
          if (harmlessInStages.includes(group)) return [];
          if (group === 'enabled')
            return [problem(path, 'enabled has no effect since llm-compressor 0.7: the stage runs whatever it says.')];
          const way = coerceTo('object', body) === undefined ? 'Remove it.' : 'Modifiers stand under a key that ends in _modifiers.';
          return [problem(path, `${group} is read by nobody: in a stage only keys that end in _modifiers count. ${way}`)];
        }
        if (coerceTo('object', body) !== undefined) return [];
        return [problem(path, `${group} is no mapping from modifier names to their fields, so no modifier is read from it.`)];
      });
    });
}

function atTop(recipe: Readonly<Record<string, unknown>>): Problem[] {
  return Object.keys(recipe)
    .filter((key) => !ownKeys.includes(key) && !tolerated.includes(key) && !key.endsWith('_stage'))
    .map((key) => {
      const place = Object.hasOwn(places, key) ? places[key] : undefined;
      const near = place === undefined ? nearestName(key, ownKeys) : null;
      return {
        code: 'unknown-key',
        severity: 'warning',
        path: [key],
        at: 'key',
        message: `${key} is read by nobody${place !== undefined ? ` at the top. Put it under ${place}.` : near === null ? `: llm-compressor takes keys that end in _stage, Bitwright ${ownKeys.join(', ')}.` : `; did you mean ${near}?`}`,
        ...(near === null
          ? {}
          : {
              fixes: [{ title: `Rename to ${near}`, preferred: true, edits: [{ kind: 'replace-key' as const, path: [key], text: near }] }],
            }),
      };
    });
}
