// A modifier under a name that llm-compressor is about to drop.
import type { Check } from './check.js';

export const modifierDeprecated: Check = {
  code: 'modifier-deprecated',
  run: ({ modifiers }) =>
    modifiers
      .filter(({ name }) => name === 'LogarithmicEqualizationModifier')
      .map(({ path, body }) => ({
        code: 'modifier-deprecated',
        severity: 'warning',
        path,
        at: 'key',
        message:
          'LogarithmicEqualizationModifier is deprecated: it is SmoothQuantModifier with algorithm: log_equalization, and llm-compressor will drop the name. Write that.',
        fixes: [
          {
            title: 'Write SmoothQuantModifier with algorithm: log_equalization',
            preferred: true,
            edits: [
              ...(body['algorithm'] === undefined
                ? [{ kind: 'insert-key' as const, path, key: 'algorithm', text: 'log_equalization' }]
                : []),
              { kind: 'replace-key' as const, path, text: 'SmoothQuantModifier' },
            ],
          },
        ],
      })),
};
