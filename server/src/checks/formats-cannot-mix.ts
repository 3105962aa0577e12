// Storage formats that no one checkpoint can hold: its config.json names one library, and that one reads all of it.
import { layersByScheme } from '../plan/assign-layers.js';
import type { Check } from './check.js';

/** Which library reads a format. */
const libraryOf = (format: string): string => (format === 'bitsandbytes' || format === 'vptq' ? format : 'compressed-tensors');

export const formatsCannotMix: Check = {
  code: 'formats-cannot-mix',
  run({ quantization, layers }) {
    const layersOf = layersByScheme(layers);
    const owners = new Map<string, (typeof quantization)[number]['modifier']>();
    for (const { modifier, groups } of quantization)
      for (const { scheme } of groups)
        if (scheme !== null && scheme.weights !== null && (layersOf.get(scheme)?.length ?? 0) > 0 && !owners.has(libraryOf(scheme.format)))
          owners.set(libraryOf(scheme.format), modifier);
    // The one that is foreign to compressed-tensors is named first.
    const [first, second] = [...owners].sort(([a], [b]) => Number(a === 'compressed-tensors') - Number(b === 'compressed-tensors'));
    if (first === undefined || second === undefined) return [];
    const [[library, foreign], [otherLibrary, other]] = [first, second];
    return [
      {
        code: 'formats-cannot-mix',
        severity: 'error',
        path: foreign.path,
        at: 'key',
        message: `${foreign.name} stores layers as ${library} does, and ${other.name} as ${otherLibrary} does; a checkpoint has one quantization_config, and its reader knows no other. Quantize all layers with one of them, and add the rest to ignore.`,
        related: [{ path: other.path, at: 'key', message: `${other.name} stands here` }],
      },
    ];
  },
};
