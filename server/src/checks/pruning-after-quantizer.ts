// Pruning that stands behind the quantizer of its layers: it would set codes to zero that were chosen with all weights there.
import { schemeModifiers } from '../plan/read-modifiers.js';
import type { Check } from './check.js';
import { severityOfSilence } from './severity-of-silence.js';

export const pruningAfterQuantizer: Check = {
  code: 'pruning-after-quantizer',
  run: (resolution) =>
    resolution.pruning.flatMap(({ modifier, plan }) => {
      const pruned = new Set(plan.layers.map(({ name }) => name));
      const before = resolution.modifiers.slice(0, resolution.modifiers.indexOf(modifier));
      const quantizer = before.find(
        (earlier) =>
          schemeModifiers.includes(earlier.name) &&
          resolution.layers.some(({ name, quantizer: by }) => pruned.has(name) && by?.recipe_path.join('\n') === earlier.path.join('\n')),
      );
      if (quantizer === undefined) return [];
      return [
        {
          code: 'pruning-after-quantizer',
          severity: severityOfSilence(resolution),
          path: modifier.path,
          at: 'key' as const,
          message: `${modifier.name} stands behind ${quantizer.name}, which quantizes layers that it prunes: weights would be moved off the grid that is chosen for them. Move it before; the quantizer then keeps the zeros.`,
          related: [{ path: quantizer.path, at: 'key' as const, message: `${quantizer.name} chooses the codes here` }],
        },
      ];
    }),
};
