// One scale per attention head, given to layers that have no heads: llm-compressor fails when it starts. What the scheme alone shows is seen when it is expanded.
import type { Problem } from '../../../schemas/src/problem.js';
import { layersByScheme } from '../plan/assign-layers.js';
import type { Check } from './check.js';

export const inputStrategyUnsupported: Check = {
  code: 'input-strategy-unsupported',
  run({ quantization, layers }) {
    const layersOf = layersByScheme(layers);
    return quantization.flatMap(({ groups }) =>
      groups.flatMap(({ scheme, path }): Problem[] => {
        if (scheme?.input_activations?.strategy !== 'attn_head') return [];
        const wrong = layersOf.get(scheme) ?? [];
        const [first] = wrong;
        if (first === undefined) return [];
        return [
          {
            code: 'input-strategy-unsupported',
            severity: 'error',
            path,
            at: 'value',
            message: `input_activations with strategy attn_head want attention modules, and ${wrong.length} linear layers get them here (${first.name} first); llm-compressor fails on that. Target the attention class, or use strategy tensor.`,
          },
        ];
      }),
    );
  },
};
