// Modifiers that llm-compressor applies at the steps of a training: what a run of one shot makes of them here, and that it makes nothing of them there.
import type { Check } from './check.js';

export const trainingModifier: Check = {
  code: 'training-modifier',
  run: ({ pruning }) =>
    pruning.flatMap(({ modifier, plan }) => {
      if (plan.name !== 'magnitude' && plan.name !== 'constant') return [];
      const here =
        plan.name === 'magnitude'
          ? 'Bitwright prunes to final_sparsity at once, before the quantizer; init_sparsity, start, end, update and update_scheduler count for nothing'
          : 'Bitwright keeps the zeros that the layers have through the quantizer';
      return [
        {
          code: 'training-modifier',
          severity: 'information' as const,
          path: modifier.path,
          at: 'key' as const,
          message: `${modifier.name} acts at the steps of a training, and llm-compressor's oneshot leaves the weights as they are with it. ${here}.`,
        },
      ];
    }),
};
