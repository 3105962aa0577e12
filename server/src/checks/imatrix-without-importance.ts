// Layers that an importance matrix has nothing for: llama-quantize says so and goes on, but for Q2_K_S, which it refuses then.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { Problem } from '../../../schemas/src/problem.js';
import { importanceName, weighedLayers } from '../plan/resolve-imatrix.js';
import type { Check } from './check.js';
import { firstOf } from './first-of.js';

export const imatrixWithoutImportance: Check = {
  code: 'imatrix-without-importance',
  run({ imatrices, layers, model }) {
    if (model === null) return [];
    return imatrices.flatMap((resolved): Problem[] => {
      const { imatrix, path, file } = resolved;
      const weighed = weighedLayers(resolved, layers);
      const knows = (layer: LayerPlan): boolean => imatrix?.has(importanceName(layer, model) ?? '') ?? false;
      // Where it knows none of them it is of another model.
      if (imatrix === null || !weighed.some(knows)) return [];
      const isUsed = (layer: LayerPlan): boolean => (imatrix.get(importanceName(layer, model) ?? '')?.count ?? 0) > 0;
      const without = weighed.filter((layer) => layer.kind !== 'Embedding' && !isUsed(layer));
      if (without.length === 0) return [];
      const inBlocks = without.filter(({ block }) => block !== null);
      const unseen = without.filter(knows);
      const which = (unseen.length > 0 ? unseen : inBlocks.length > 0 ? inBlocks : without).map(({ name }) => name);
      const named = firstOf(which, 3);
      const way =
        unseen.length > 0
          ? `No row reached ${named} when it was made (count 0): make it again with more texts`
          : inBlocks.length > 0
            ? `It leaves out ${named}: make it again from this model with llama-imatrix`
            : 'llama-imatrix leaves the head out unless it is told --process-output; nothing is wrong';
      return [
        {
          code: 'imatrix-without-importance',
          severity: inBlocks.length > 0 ? 'warning' : 'information',
          path,
          at: 'value',
          message: `${file} has nothing for ${without.length === 1 ? without[0]?.name : `${without.length} of ${weighed.length} layers`}, whose columns weigh alike, as with llama-quantize. ${way}.`,
        },
      ];
    });
  },
};
