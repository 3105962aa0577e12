// A canary that would never measure: no text to run, or more blocks from one measure to the next than the model has.
import type { Problem } from '../../../schemas/src/problem.js';
import { canaryOf } from '../plan/resolve-canary.js';
import type { Check } from './check.js';

export const canaryCannotMeasure: Check = {
  code: 'canary-cannot-measure',
  run(resolution) {
    const canary = canaryOf(resolution);
    if (canary === null || resolution.model?.architecture === null) return [];
    const problem = (fields: Pick<Problem, 'path' | 'at' | 'message' | 'fixes'>): Problem[] => [
      { code: 'canary-cannot-measure', severity: 'error', ...fields },
    ];
    if (canary.text === null)
      return problem({
        path: ['canary'],
        at: 'key',
        message:
          'The canary has no text to run: it takes the first rows of evaluate.kl_divergence, else of evaluate.perplexity, else of the calibration, and the recipe has none of them. Add evaluate.kl_divergence with a dataset, or remove canary.',
        fixes: [{ title: 'Remove canary', preferred: false, edits: [{ kind: 'remove', path: ['canary'] }] }],
      });
    const n_blocks = resolution.model?.architecture?.num_hidden_layers ?? Infinity;
    if (canary.every === null || canary.every <= n_blocks) return [];
    const path = ['canary', 'every'];
    return problem({
      path,
      at: 'value',
      message: `every is ${canary.every} and the model has ${n_blocks} blocks, so that the canary would never measure. Use ${n_blocks} at most, or leave it out: it is then an eighth of the blocks.`,
      fixes: [{ title: 'Remove every', preferred: true, edits: [{ kind: 'remove', path }] }],
    });
  },
};
