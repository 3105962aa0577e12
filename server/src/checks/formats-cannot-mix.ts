// Two storage formats that no one checkpoint can hold: its config.json names one library, and that one reads all of it.
import { layersByScheme } from '../plan/assign-layers.js';
import type { Check } from './check.js';

export const formatsCannotMix: Check = {
  code: 'formats-cannot-mix',
  run({ quantization, layers }) {
    const layersOf = layersByScheme(layers);
    const owner = (isWanted: (format: string) => boolean) =>
      quantization.find(({ groups }) =>
        groups.some(
          ({ scheme }) => scheme !== null && scheme.weights !== null && isWanted(scheme.format) && (layersOf.get(scheme)?.length ?? 0) > 0,
        ),
      );
    const foreign = owner((format) => format === 'bitsandbytes');
    const other = owner((format) => format !== 'bitsandbytes');
    if (foreign === undefined || other === undefined) return [];
    return [
      {
        code: 'formats-cannot-mix',
        severity: 'error',
        path: foreign.modifier.path,
        at: 'key',
        message: `${foreign.modifier.name} stores layers as bitsandbytes does, and ${other.modifier.name} as compressed-tensors does; a checkpoint has one quantization_config, and its reader knows no other. Quantize all layers with one of them, and add the rest to ignore.`,
        related: [{ path: other.modifier.path, at: 'key', message: `${other.modifier.name} stands here` }],
      },
    ];
  },
};
