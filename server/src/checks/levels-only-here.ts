// A scheme with levels: llm-compressor has no such field and refuses the recipe. Not a fault: what is written is loaded anywhere.
import { informationBits } from '../../../schemas/src/levels.js';
import { saidArgs } from '../plan/said-observers.js';
import type { Check } from './check.js';

export const levelsOnlyHere: Check = {
  code: 'levels-only-here',
  run: ({ quantization }) =>
    quantization.flatMap(({ modifier, groups }) =>
      groups.flatMap((group) => {
        const weights = group.scheme?.weights;
        const said = saidArgs(modifier, group, 'weights');
        if (!weights || weights.levels === undefined || said === null) return [];
        const information = informationBits(weights);
        return [
          {
            code: 'levels-only-here',
            severity: 'information' as const,
            path: [...said.path, 'levels'],
            at: 'key' as const,
            message: `levels is a field of Bitwright's own: llm-compressor refuses a recipe with it. The checkpoint is one of ${weights.num_bits}-bit integers, and loads as such; a weight says ${Number(information.toFixed(2))} bits and takes ${weights.num_bits}.`,
          },
        ];
      }),
    ),
};
