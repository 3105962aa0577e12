// Targets match, and still no layer is left to prune: ignore takes all away, or what they name holds no linear layer.
import { pruningTargets } from '../plan/pruning/resolve-pruning.js';
import type { Check } from './check.js';
import { severityOfSilence } from './severity-of-silence.js';

export const nothingPruned: Check = {
  code: 'nothing-pruned',
  run: (resolution) =>
    resolution.pruning.flatMap(({ modifier, plan }) => {
      const isOneShot = plan.name === 'sparsegpt' || plan.name === 'wanda';
      if (!isOneShot || plan.layers.length > 0 || resolution.model === null) return [];
      const targets = pruningTargets(modifier, resolution.model);
      if (targets.length === 0) return [];
      return [
        {
          code: 'nothing-pruned',
          severity: severityOfSilence(resolution),
          path: modifier.path,
          at: 'key' as const,
          message: `${modifier.name} has no layer left to prune: its targets match ${targets.length} modules, and ignore takes away every linear layer in them, or they hold none. Widen targets or shorten ignore.`,
        },
      ];
    }),
};
