// A transform that stands behind the quantizer whose weights it should prepare.
import { schemeModifiers, transformModifiers } from '../plan/read-modifiers.js';
import type { Check } from './check.js';
import { severityOfSilence } from './severity-of-silence.js';

export const transformAfterQuantizer: Check = {
  code: 'transform-after-quantizer',
  run: (resolution) => {
    const { modifiers } = resolution;
    const firstQuantizer = modifiers.findIndex(({ name }) => schemeModifiers.includes(name));
    const quantizer = modifiers[firstQuantizer];
    return modifiers
      .filter(({ name }, index) => transformModifiers.includes(name) && firstQuantizer >= 0 && index > firstQuantizer)
      .map(({ name, path }) => ({
        code: 'transform-after-quantizer',
        severity: severityOfSilence(resolution),
        path,
        at: 'key',
        message: `${name} stands behind ${quantizer?.name ?? 'the quantizer'}: it would rescale weights that are already rounded. Move it before.`,
        related: quantizer === undefined ? [] : [{ path: quantizer.path, at: 'key', message: `${quantizer.name} rounds the weights here` }],
      }));
  },
};
