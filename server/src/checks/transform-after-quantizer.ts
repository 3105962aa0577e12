// A transform that stands behind the quantizer whose weights it should prepare.
import { quantizationModifiers, transformModifiers } from '../plan/read-modifiers.js';
import type { Check } from './check.js';

export const transformAfterQuantizer: Check = {
  code: 'transform-after-quantizer',
  run: ({ modifiers }) => {
    const firstQuantizer = modifiers.findIndex(({ name }) => quantizationModifiers.has(name));
    return modifiers
      .filter(({ name }, index) => transformModifiers.includes(name) && firstQuantizer >= 0 && index > firstQuantizer)
      .map(({ name, path }) => ({
        code: 'transform-after-quantizer',
        severity: 'error',
        path,
        at: 'key',
        message: `${name} stands behind ${modifiers[firstQuantizer]?.name ?? 'the quantizer'}: it would rescale weights that are already rounded. Move it before.`,
      }));
  },
};
