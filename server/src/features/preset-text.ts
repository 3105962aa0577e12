// A preset scheme written out, as Markdown.
import schemePresets from '../../../schemas/scheme-presets.json';

interface PresetArgs {
  num_bits: number;
  type?: string;
  symmetric?: boolean;
  strategy: string;
  group_size?: number;
  block_structure?: readonly number[];
  dynamic?: boolean | string;
  scale_dtype?: string;
}

interface Preset {
  description: string;
  weights?: PresetArgs;
  input_activations?: PresetArgs;
}

/** null when it is no preset. Names are matched without case, as compressed-tensors does. */
export function findPreset(name: string): { name: string; preset: Preset } | null {
  const found = Object.entries(schemePresets as Record<string, Preset>).find(([known]) => known.toLowerCase() === name.toLowerCase());
  return found === undefined ? null : { name: found[0], preset: found[1] };
}

export function presetExpansion(name: string): string {
  const found = findPreset(name);
  if (found === null) return '';
  const { preset } = found;
  const row = (label: string, args: PresetArgs | undefined): string[] => (args === undefined ? [] : [`- ${label}: ${argsText(args)}`]);
  return [
    `**${found.name}** · ${preset.description}`,
    [...row('weights', preset.weights), ...row('input_activations', preset.input_activations)].join('\n'),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function argsText(args: PresetArgs): string {
  const fields = [
    `\`num_bits: ${args.num_bits}\``,
    `\`type: ${args.type ?? 'int'}\``,
    `\`symmetric: ${args.symmetric ?? true}\``,
    `\`strategy: ${args.strategy}\``,
    ...(args.group_size === undefined ? [] : [`\`group_size: ${args.group_size}\``]),
    ...(args.block_structure === undefined ? [] : [`\`block_structure: [${args.block_structure.join(', ')}]\``]),
    ...(args.dynamic === undefined ? [] : [`\`dynamic: ${args.dynamic}\``]),
    ...(args.scale_dtype === undefined ? [] : [`\`scale_dtype: ${args.scale_dtype}\``]),
  ];
  return fields.join(', ');
}
