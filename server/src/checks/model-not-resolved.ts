// A recipe without a model: one hint says why the model-aware checks are silent.
import type { Check } from './check.js';

export const modelNotResolved: Check = {
  code: 'model-not-resolved',
  run: ({ model, modifiers, problems }) =>
    model !== null || modifiers.length === 0 || problems.some((problem) => problem.path[0] === 'model')
      ? []
      : [
          {
            code: 'model-not-resolved',
            severity: 'hint',
            path: modifiers[0]?.path ?? [],
            at: 'key',
            message:
              'The recipe names no model, so targets, shapes and sizes are not checked. Add model: with the path of a folder or a hub id, or give --model DIR.',
          },
        ],
};
