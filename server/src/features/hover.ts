// Hover: what the key, pattern, layer, preset or model under the pointer means.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { RecipePath, TextRange } from '../../../schemas/src/problem.js';
import { recipeSchemaFiles } from '../../../schemas/src/recipe-schema-files.js';
import type { Resolution } from '../plan/resolution.js';
import { wantsTarget } from './completion-targets.js';
import { fieldDocumentation } from './field-documentation.js';
import { fieldOrigin, withPaperLinks } from './field-origin.js';
import { findPreset, presetExpansion } from './preset-text.js';
import { schemasAt, type SchemaFiles } from './schema-lookup.js';
import { targetText } from './target-text.js';

export interface Hover {
  markdown: string;
  range: TextRange;
}

export function hoverRecipe(resolution: Resolution, offset: number): Hover | null {
  const { document } = resolution;
  const place = document.placeAt(offset);
  if (place === null || place.path.length === 0) return null;
  const markdown = place.at === 'key' ? keyText(place.path) : valueText(document.valueAt(place.path), place.path, resolution);
  return markdown === null ? null : { markdown, range: document.rangeOf(place.path, place.at) };
}

function keyText(path: RecipePath): string | null {
  const schemas = schemasAt(recipeSchemaFiles as SchemaFiles, path);
  const key = String(path.at(-1));
  const preset = path.at(-2) === 'scheme' ? findPreset(key) : null;
  if (preset !== null) return presetExpansion(key);
  if (schemas.length === 0) return null;
  const origin = fieldOrigin(path);
  return withPaperLinks(fieldDocumentation(key, schemas)) + (origin === null ? '' : `\n\n${origin}`);
}

function valueText(value: unknown, path: RecipePath, resolution: Resolution): string | null {
  if (typeof value !== 'string') return scalarText(value, path);
  if (wantsTarget(path)) return targetText(value, resolution);
  if (path.at(-1) === 'scheme') return findPreset(value) === null ? null : presetExpansion(value);
  if (path.length === 1 && path[0] === 'model') return resolution.model === null ? null : modelText(resolution.model);
  return scalarText(value, path);
}

/** A scalar says what its field means. */
function scalarText(value: unknown, path: RecipePath): string | null {
  return typeof value === 'object' && value !== null ? null : keyText(path);
}

function modelText(model: ModelDescription): string {
  const facts = model.architecture;
  const bytes = model.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const layers = Object.values(model.modules).filter((moduleClass) => moduleClass === 'Linear').length;
  return [
    `**${model.architecture_name ?? 'Architecture not named'}** · ${layers} linear layers · ${bytesText(bytes)} ${model.dtype}`,
    facts === null
      ? 'Bitwright cannot run this architecture: data-free methods only.'
      : `${facts.num_hidden_layers} blocks, hidden ${facts.hidden_size}, MLP ${facts.intermediate_size}, ${facts.num_attention_heads} heads (${facts.num_key_value_heads} key/value), vocabulary ${facts.vocab_size}, context ${facts.max_position_embeddings}.`,
    `\`${model.dir}\``,
  ].join('\n\n');
}
