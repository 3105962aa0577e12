// Calibrated activations with the default observer: its range is that of the last batch alone.
import type { Check } from './check.js';

export const staticActivationsLastBatch: Check = {
  code: 'static-activations-last-batch',
  run: ({ quantization }) =>
    quantization.flatMap(({ modifier, groups }) =>
      groups
        .filter(({ scheme }) => scheme?.input_activations?.dynamic === false && scheme.input_activations.observer === 'memoryless_minmax')
        .map(({ path }) => ({
          code: 'static-activations-last-batch',
          severity: 'warning',
          path: path.includes('config_groups') ? [...path, 'input_activations'] : path,
          at: 'key',
          message:
            'Calibrated inputs use the observer memoryless_minmax, which keeps the range of the last batch only. Set observer: static_minmax, which keeps the range of all.',
          fixes: path.includes('config_groups')
            ? [
                {
                  title: 'Set observer: static_minmax',
                  preferred: true,
                  edits: [{ kind: 'insert-key', path: [...path, 'input_activations'], key: 'observer', text: 'static_minmax' }],
                },
              ]
            : [
                {
                  title: 'Set input_observer: static_minmax',
                  preferred: true,
                  edits: [{ kind: 'insert-key', path: modifier.path, key: 'input_observer', text: 'static_minmax' }],
                },
              ],
        })),
    ),
};
