// SmoothQuant where inputs stay in 16 bits: it moves difficulty into the weights and nothing gains.
import { smoothingModifiers } from '../plan/read-modifiers.js';
import type { Check } from './check.js';
import { removeModifier } from './remove-modifier.js';

export const smoothquantWithoutActivationQuantization: Check = {
  code: 'smoothquant-without-activation-quantization',
  run: ({ modifiers, quantization, document }) => {
    const smooth = modifiers.find(({ name }) => smoothingModifiers.includes(name));
    const schemes = quantization.flatMap(({ groups }) => groups.map(({ scheme }) => scheme));
    if (smooth === undefined || schemes.length === 0 || schemes.some((scheme) => scheme === null || scheme.input_activations !== null))
      return [];
    const removal = removeModifier(document, smooth.path);
    return [
      {
        code: 'smoothquant-without-activation-quantization',
        severity: 'warning',
        path: smooth.path,
        at: 'key',
        message: `${smooth.name} makes inputs easier to quantize at the cost of the weights, but no scheme of this recipe quantizes inputs: the result gets worse. Remove it, or use a scheme such as W8A8.`,
        fixes: removal === null ? [] : [removal],
        related: quantization.flatMap(({ groups }) =>
          groups.map(({ path, name }) => ({ path, at: 'key' as const, message: `${name} leaves inputs as they are` })),
        ),
      },
    ];
  },
};
