// A recipe whose shape produces nothing: llm-compressor saves the model unquantized and exits with 0.
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import { knownModifiers } from '../plan/read-modifiers.js';
import { mappingOf } from '../recipe/coerce.js';
import type { Check } from './check.js';
import { severityOfSilence } from './severity-of-silence.js';

const ownKeys = [
  'model',
  'calibration',
  'evaluate',
  'gates',
  'canary',
  'output',
  'device',
  'threads',
  'max_memory',
  'max_device_memory',
  'budget',
  'args',
  'metadata',
  'recipe_type',
];

export const recipeYieldsNoModifier: Check = {
  code: 'recipe-yields-no-modifier',
  run(resolution) {
    const { modifiers, document } = resolution;
    if (modifiers.length > 0) return [];
    const { path, reason, fixes } = explain(document.value);
    const problem: Problem = {
      code: 'recipe-yields-no-modifier',
      severity: severityOfSilence(resolution),
      path,
      at: 'key',
      message: `The recipe yields no modifier: ${reason} llm-compressor would save the model unquantized, without a word.`,
      fixes,
    };
    return [problem];
  },
};

function explain(recipe: Readonly<Record<string, unknown>>): { path: RecipePath; reason: string; fixes: ProblemFix[] } {
  const rename = (path: RecipePath, name: string): ProblemFix[] => [
    { title: `Rename to ${name}`, preferred: true, edits: [{ kind: 'replace-key', path, text: name }] },
  ];
  for (const [key, value] of Object.entries(recipe)) {
    if (ownKeys.includes(key)) continue;
    if (/_stage_\d+$/.test(key)) {
      const name = key.replace(/_stage_(\d+)$/, '_$1_stage');
      return {
        path: [key],
        reason: `${key} does not end in _stage (llm-compressor itself writes such keys when it merges recipes). Rename it to ${name}.`,
        fixes: rename([key], name),
      };
    }
    if (knownModifiers.includes(key))
      return { path: [key], reason: `${key} stands at the top; it belongs into quant_stage: → quant_modifiers:.`, fixes: [] };
    if (key.endsWith('_modifiers'))
      return { path: [key], reason: `${key} stands at the top; put it under a key that ends in _stage, such as quant_stage.`, fixes: [] };
    if (!key.endsWith('_stage')) continue;
    if (value === null || value === undefined)
      return { path: [key], reason: `${key} is empty. Put quant_modifiers: with a modifier under it.`, fixes: [] };
    for (const [group, body] of Object.entries(mappingOf(value))) {
      if (knownModifiers.includes(group))
        return {
          path: [key, group],
          reason: `${group} stands directly under ${key}; a key that ends in _modifiers must lie between them.`,
          fixes: [],
        };
      if (group.endsWith('_modifiers') && Array.isArray(body))
        return {
          path: [key, group],
          reason: `${group} is a list; it must be a mapping from modifier names to their fields (no dashes).`,
          fixes: [],
        };
      if (group === 'modifiers' || /modifiers$/.test(group)) {
        if (!group.endsWith('_modifiers'))
          return {
            path: [key, group],
            reason: `${group} does not end in _modifiers. Rename it to quant_modifiers.`,
            fixes: rename([key, group], 'quant_modifiers'),
          };
        if (Object.keys(mappingOf(body)).length === 0)
          return { path: [key, group], reason: `${group} is empty. Put a modifier such as GPTQModifier under it.`, fixes: [] };
      }
    }
    return { path: [key], reason: `${key} holds no key that ends in _modifiers.`, fixes: [] };
  }
  return { path: [], reason: 'no key ends in _stage. Add quant_stage: → quant_modifiers: → a modifier such as GPTQModifier.', fixes: [] };
}
