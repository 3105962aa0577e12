// The preset schemes by name, in any letters.
import presets from '../../../schemas/scheme-presets.json';

export const presetNames = Object.keys(presets);
export const presetDescription = (name: string): string | null =>
  (presets as Record<string, { description: string }>)[name.toUpperCase()]?.description ?? null;

/** What a preset says, as a group of config_groups says it; null where no preset has that name. */
export function presetBody(name: string): Readonly<Record<string, unknown>> | null {
  const preset = (presets as Record<string, Readonly<Record<string, unknown>>>)[name.toUpperCase()];
  return preset === undefined ? null : Object.fromEntries(Object.entries(preset).filter(([key]) => key !== 'description'));
}
