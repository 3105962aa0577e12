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

/** compressed-tensors release that brought a preset; the others are older. */
const since: Readonly<Record<string, string>> = {
  NVFP4: '0.10',
  FP8_BLOCK: '0.11',
  MXFP4: '0.13',
  W4AFP8: '0.14',
  MXFP8: '0.15',
  ...Object.fromEntries('W2A16 W3A16 W5A16 W6A16 W7A16 W2A4 W3A4 W4A4 W2A8 W3A8 W5A8 W6A8 W7A8'.split(' ').map((name) => [name, '0.18'])),
};

function historyOf(name: string): string[] {
  if (name === 'W8A16') return ['One scale per channel until compressed-tensors 0.15; groups of 128 since 0.16.'];
  return since[name] === undefined ? [] : [`Since compressed-tensors ${since[name]}.`];
}

export function presetExpansion(name: string): string {
  const found = findPreset(name);
  if (found === null) return '';
  const { preset } = found;
  const row = (label: string, args: PresetArgs | undefined): string[] => (args === undefined ? [] : [`- ${label}: ${argsText(args)}`]);
  return [
    `**${found.name}** · ${preset.description}`,
    [...row('weights', preset.weights), ...row('input_activations', preset.input_activations)].join('\n'),
    ...historyOf(found.name),
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
