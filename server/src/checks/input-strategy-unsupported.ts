// One scale per attention head, given to layers that have no heads: llm-compressor fails when it starts. What the scheme alone shows is seen when it is expanded.
import type { Check } from './check.js';

export const inputStrategyUnsupported: Check = {
  code: 'input-strategy-unsupported',
  run: ({ quantization, layers }) =>
    quantization.flatMap(({ groups }) =>
      groups
        .filter(({ scheme }) => scheme?.input_activations?.strategy === 'attn_head')
        .flatMap(({ scheme, path }) => {
          const wrong = layers.filter((layer) => layer.scheme === scheme);
          const [first] = wrong;
          if (first === undefined) return [];
          return [
            {
              code: 'input-strategy-unsupported',
              severity: 'error' as const,
              path,
              at: 'value' as const,
              message: `input_activations with strategy attn_head want attention modules, and ${wrong.length} linear layers get them here (${first.name} first); llm-compressor fails on that. Target the attention class, or use strategy tensor.`,
            },
          ];
        }),
    ),
};
