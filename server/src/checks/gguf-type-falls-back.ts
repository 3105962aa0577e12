// Layers whose columns the blocks of the wanted GGUF type do not divide: another type stands in, as in llama.cpp, or none.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { groupBy } from '../../../schemas/src/group-by.js';
import type { Problem } from '../../../schemas/src/problem.js';
import type { Check } from './check.js';

export const ggufTypeFallsBack: Check = {
  code: 'gguf-type-falls-back',
  run({ layers, quantization, modifiers }) {
    const modifier = modifiers.find(({ name }) => name === 'GGUFModifier');
    if (modifier === undefined || quantization.some(({ groups }) => groups.some(({ scheme }) => scheme === null))) return [];
    const kinds = groupBy(layers, ({ scheme, dtype }) => {
      const { weights, format } = scheme ?? {};
      return weights?.gguf_asked !== undefined
        ? `${weights.gguf_type} stands in for ${weights.gguf_asked}, as in llama.cpp, where blocks of 256 weights do not divide the columns`
        : format === 'gguf' && weights === null
          ? `${dtype} stays where not even blocks of 32 divide the columns`
          : null;
    });
    if (kinds.size === 0) return [];
    const path = modifier.path;
    const sentences = [...kinds].map(([what, of]) => `${what}: ${namesOf(of)} with ${columnsOf(of)} columns`);
    return [
      {
        code: 'gguf-type-falls-back',
        severity: 'information',
        path,
        at: 'key',
        message: `${sentences.join('. ')}. The file is larger than the type lets expect; types with blocks of 32 are Q8_0, and Q5_1, Q5_0, Q4_1 and Q4_0 with pure: true.`,
      } satisfies Problem,
    ];
  },
};

const columnsOf = (layers: readonly LayerPlan[]): string => [...new Set(layers.map(({ columns }) => columns))].join(' or ');
const namesOf = (layers: readonly LayerPlan[]): string =>
  layers.length === 1 ? (layers[0]?.name ?? '') : `${layers.length} layers (${[...new Set(layers.map(({ role }) => role))].join(', ')})`;
