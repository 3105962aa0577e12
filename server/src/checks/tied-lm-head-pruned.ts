// A head that shares its matrix with the embedding is pruned: here the two are parted, in llm-compressor the embedding loses the same weights.
import type { Check } from './check.js';
import { ignoreEdits } from './ignore-edits.js';

export const tiedLmHeadPruned: Check = {
  code: 'tied-lm-head-pruned',
  run: ({ pruning, layers }) =>
    pruning.flatMap(({ modifier, plan }) => {
      const head = layers.find(({ name, tied_to }) => tied_to !== null && plan.layers.some((layer) => layer.name === name));
      if (head === undefined) return [];
      const hasIgnore = plan.name === 'sparsegpt' || plan.name === 'wanda';
      return [
        {
          code: 'tied-lm-head-pruned',
          severity: 'warning' as const,
          path: modifier.path,
          at: 'key' as const,
          message: `${head.name} shares its ${head.rows} × ${head.columns} matrix with ${head.tied_to ?? 'the embedding'} and is pruned here: the two are parted and the file grows by a matrix (llm-compressor would prune the embedding with it). ${hasIgnore ? `Add re:.*${head.name} to ignore.` : `Leave ${head.name} out of targets.`}`,
          fixes: hasIgnore ? [{ title: `Ignore ${head.name}`, preferred: true, edits: ignoreEdits(modifier, [`re:.*${head.name}`]) }] : [],
        },
      ];
    }),
};
