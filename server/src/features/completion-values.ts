// Values that a field names itself: enumerations, presets, true and false, examples, the default.
import schemePresets from '../../../schemas/scheme-presets.json';
import { literal, type CompletionEntry } from './completion-entry.js';
import { presetExpansion } from './preset-text.js';
import type { RecipeCursor } from './recipe-cursor.js';
import { enumeratedValues, firstSaid, type PlacedSchema } from './schema-lookup.js';

export function completeValues(cursor: RecipeCursor, schemas: readonly PlacedSchema[]): CompletionEntry[] {
  const standard = firstSaid(schemas, 'default');
  const scalars = enumeratedValues(schemas).filter(({ value }) => typeof value !== 'object' || value === null);
  const listed = scalars.some(({ value }) => value === standard) || typeof standard === 'object' || standard === undefined;
  const all = listed ? scalars : [{ value: standard, description: undefined }, ...scalars];
  const isScheme = cursor.path.at(-1) === 'scheme';
  return all
    .filter(({ value }) => !isScheme || value !== null)
    .map(({ value, description }) => {
      const text = String(value);
      const preset = isScheme && typeof value === 'string' ? schemePresets[value as keyof typeof schemePresets] : undefined;
      const notes = [...(value === standard ? ['default'] : []), ...(preset === undefined ? [] : [preset.description])];
      const documentation = preset === undefined ? description : presetExpansion(text);
      return {
        label: text,
        kind: preset === undefined ? 'value' : 'preset',
        ...(notes.length === 0 ? {} : { detail: notes.join(', ') }),
        ...(documentation === undefined ? {} : { documentation }),
        snippet: literal(text),
      };
    });
}
