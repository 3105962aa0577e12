// Storage formats that no one checkpoint can hold: a config.json names one library, which reads all of it; a GGUF file knows its own blocks alone.
import { isAdapter } from '../../../schemas/src/modifiers.js';
import type { Problem } from '../../../schemas/src/problem.js';
import { layersByScheme } from '../plan/assign-layers.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { Resolution } from '../plan/resolution.js';
import type { Check } from './check.js';

/** Which library reads a format. */
const libraryOf = (format: string): string => (['bitsandbytes', 'vptq', 'gguf'].includes(format) ? format : 'compressed-tensors');

export const formatsCannotMix: Check = {
  code: 'formats-cannot-mix',
  run: (resolution) => {
    const owners = ownersOf(resolution);
    if (resolution.gguf !== null) return inGguf(resolution, owners);
    const blocks = owners.get('gguf');
    if (blocks !== undefined)
      return [
        {
          code: 'formats-cannot-mix',
          severity: 'error',
          path: ['output', 'format'],
          at: 'value',
          message: `${blocks.name} makes blocks that a GGUF file alone can hold, and output.format is compressed-tensors. Remove it, or quantize with another modifier.`,
          related: [{ path: blocks.path, at: 'key', message: `${blocks.name} stands here` }],
          fixes: [{ title: 'Remove format', preferred: true, edits: [{ kind: 'remove', path: ['output', 'format'] }] }],
        },
      ];
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

/** Libraries → the first modifier that stores layers as each does. */
function ownersOf({ quantization, layers }: Resolution): Map<string, RecipeModifier> {
  const storedBy = new Map<string, string>();
  for (const [scheme, [layer]] of layersByScheme(layers))
    if (layer?.quantizer && scheme.weights !== null) storedBy.set(layer.quantizer.recipe_path.join('/'), libraryOf(scheme.format));
  const owners = new Map<string, RecipeModifier>();
  for (const { modifier } of quantization) {
    const library = storedBy.get(modifier.path.join('/'));
    if (library !== undefined && !owners.has(library)) owners.set(library, modifier);
  }
  return owners;
}

function inGguf(resolution: Resolution, owners: ReadonlyMap<string, RecipeModifier>): Problem[] {
  const other = [...owners].find(([library]) => library !== 'gguf')?.[1];
  const blocks = resolution.modifiers.find(({ name }) => name === 'GGUFModifier');
  const problems: Problem[] = [];
  if (other !== undefined)
    problems.push({
      code: 'formats-cannot-mix',
      severity: 'error',
      path: other.path,
      at: 'key',
      message: `${other.name} makes integers or floats of its own grids, and the output is a GGUF file, which holds llama.cpp's blocks alone. ${blocks === undefined ? 'Use GGUFModifier in its place, or remove output.format' : 'Quantize all layers with GGUFModifier, whose config_groups give types by layer'}.`,
      related: blocks === undefined ? [] : [{ path: blocks.path, at: 'key', message: 'GGUFModifier stands here' }],
    });
  const adapter = resolution.corrections.find(({ plan }) => plan !== null && isAdapter(plan));
  if (adapter !== undefined)
    problems.push({
      code: 'formats-cannot-mix',
      severity: 'error',
      path: adapter.modifier.path,
      at: 'key',
      message: `${adapter.modifier.name} keeps what quantization takes in an adapter of peft, and llama.cpp wants adapters as GGUF files of their own, which are not written. Remove it, or take a type of more bits.`,
      fixes: [{ title: `Remove ${adapter.modifier.name}`, preferred: false, edits: [{ kind: 'remove', path: adapter.modifier.path }] }],
    });
  return problems;
}
