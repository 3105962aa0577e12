// actorder group on a scheme without groups: llm-compressor falls back to no order with a line in its log.
import type { Check } from './check.js';

export const actorderWithoutGroups: Check = {
  code: 'actorder-without-groups',
  run: ({ quantization }) =>
    quantization.flatMap(({ modifier, groups }) => {
      const asked = modifier.body['actorder'];
      if (asked !== 'group' && asked !== 'dynamic') return [];
      const without = groups.filter(({ scheme }) => scheme?.weights && !['group', 'tensor_group'].includes(scheme.weights.strategy));
      if (without.length === 0) return [];
      return [
        {
          code: 'actorder-without-groups',
          severity: 'warning',
          path: [...modifier.path, 'actorder'],
          at: 'value',
          message: `actorder ${asked} needs strategy group, and ${without.map(({ name }) => name).join(', ')} has none: columns are solved in their own order there. Use static.`,
          fixes: [
            {
              title: 'Change to static',
              // With groups elsewhere it changes their order too.
              preferred: without.length === groups.length,
              edits: [{ kind: 'replace-value', path: [...modifier.path, 'actorder'], text: 'static' }],
            },
          ],
        },
      ];
    }),
};
