// A transform that stands behind the quantizer whose weights it should prepare.
import { schemeModifiers, transformModifiers } from '../plan/read-modifiers.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { Resolution } from '../plan/resolution.js';
import type { Check } from './check.js';
import { severityOfSilence } from './severity-of-silence.js';

export const transformAfterQuantizer: Check = {
  code: 'transform-after-quantizer',
  run: (resolution) =>
    resolution.modifiers
      .filter(({ name }) => transformModifiers.includes(name))
      .flatMap((modifier) => {
        const before = resolution.modifiers.slice(0, resolution.modifiers.indexOf(modifier));
        const quantizers = before.filter(({ name }) => schemeModifiers.includes(name));
        const quantizer =
          modifier.name === 'AWQModifier' ? quantizers.find((other) => isScaledBy(modifier, other, resolution)) : quantizers[0];
        if (quantizer === undefined) return [];
        return [
          {
            code: 'transform-after-quantizer',
            severity: severityOfSilence(resolution),
            path: modifier.path,
            at: 'key' as const,
            message: `${modifier.name} stands behind ${quantizer.name}: it would rescale weights that are already rounded. Move it before.`,
            related: [{ path: quantizer.path, at: 'key' as const, message: `${quantizer.name} rounds the weights here` }],
          },
        ];
      }),
};

/** AWQ may stand between two quantizers, as long as its layers belong to the later one; one with none behind it is told by awq-without-quantizer. */
function isScaledBy(modifier: RecipeModifier, quantizer: RecipeModifier, { awq, layers, modifiers }: Resolution): boolean {
  if (!modifiers.slice(modifiers.indexOf(modifier)).some(({ name }) => schemeModifiers.includes(name))) return false;
  const scaled = new Set(
    awq
      .filter((resolved) => resolved.modifier === modifier)
      .flatMap(({ mappings }) => mappings.flatMap(({ smooth_layer, balance_layers }) => [smooth_layer, ...balance_layers])),
  );
  const at = quantizer.path.join('\n');
  return layers.some(({ name, quantizer: by }) => scaled.has(name) && by?.recipe_path.join('\n') === at);
}
