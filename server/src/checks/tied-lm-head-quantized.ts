// A head that shares its matrix with the embedding is among the targets: the two are parted, and the checkpoint grows by a matrix.
import type { Check } from './check.js';

export const tiedLmHeadQuantized: Check = {
  code: 'tied-lm-head-quantized',
  run: ({ layers, quantization, document }) =>
    layers
      .filter(({ tied_to, scheme }) => tied_to !== null && (scheme?.weights ?? null) !== null)
      .flatMap(({ name, tied_to, scheme, rows, columns }) => {
        const owner = quantization.findLast(({ groups }) => groups.some((group) => group.scheme === scheme));
        if (owner === undefined) return [];
        const { body, path } = owner.modifier;
        const edit = Array.isArray(body['ignore'])
          ? ({ kind: 'append-item', path: [...path, 'ignore'], text: name } as const)
          : ({ kind: 'insert-key', path, key: 'ignore', text: `[${name}]` } as const);
        return [
          {
            code: 'tied-lm-head-quantized',
            severity: 'warning' as const,
            path,
            at: 'key' as const,
            message: `${name} shares its ${rows} × ${columns} matrix with ${tied_to ?? 'the embedding'} and is quantized here: the two are parted, the file grows by a matrix, and older vLLM cannot load a quantized head. Add ${name} to ignore.`,
            related: owner.groups
              .filter((group) => group.scheme === scheme && document.has(group.targetsPath))
              .map(({ targetsPath }) => ({ path: targetsPath, at: 'value' as const, message: 'these targets name it' })),
            fixes:
              body['ignore'] === undefined || Array.isArray(body['ignore'])
                ? [{ title: `Ignore ${name}`, preferred: true, edits: [edit] }]
                : [],
          },
        ];
      }),
};
