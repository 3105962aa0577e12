// A quantizer that moves every weight to where its objective is best, on layers that are pruned: it would fill the zeros.
import { keepsZeros, quantizerFacts } from '../../../schemas/src/modifiers.js';
import type { Check } from './check.js';

export const zerosNotKept: Check = {
  code: 'zeros-not-kept',
  run: ({ pruning, layers, modifiers }) => {
    if (pruning.length === 0) return [];
    const keeping = keepsZeros.map((name) => quantizerFacts[name].modifier).join(', ');
    return modifiers.flatMap(({ name: modifier, path }) => {
      const own = new Set(
        layers.flatMap(({ name, quantizer, scheme }) =>
          quantizer !== null &&
          (!keepsZeros.includes(quantizer.name) || scheme?.weights?.levels) &&
          quantizer.recipe_path.join('\n') === path.join('\n')
            ? [name]
            : [],
        ),
      );
      const pruner = pruning.find(({ plan }) => plan.layers.some(({ name }) => own.has(name)));
      const first = pruner?.plan.layers.find(({ name }) => own.has(name));
      if (pruner === undefined || first === undefined) return [];
      const levels = layers.find(({ name }) => name === first.name)?.scheme?.weights?.levels;
      const others = levels ? `, whose levels are ${levels}: not all levels have a zero` : '';
      const n_layers = pruner.plan.layers.filter(({ name }) => own.has(name)).length;
      return [
        {
          code: 'zeros-not-kept',
          severity: 'error' as const,
          path,
          at: 'key' as const,
          message: `${modifier} chooses the codes of all weights anew and would fill the zeros that ${pruner.modifier.name} makes in ${first.name}${n_layers === 1 ? '' : ` and ${n_layers - 1} more layers`}${others}. Quantize pruned layers with ${keeping}, or prune other layers.`,
          related: [{ path: pruner.modifier.path, at: 'key' as const, message: `${pruner.modifier.name} prunes them here` }],
        },
      ];
    });
  },
};
