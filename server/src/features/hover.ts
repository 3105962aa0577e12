// Hover: what the key, pattern, layer, preset or model under the pointer means.
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import type { RecipePath, TextRange } from '../../../schemas/src/problem.js';
import { recipeSchemaFiles } from '../../../schemas/src/recipe-schema-files.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { wantsTarget } from './completion-targets.js';
import { fieldDocumentation } from './field-documentation.js';
import { findPreset, presetExpansion } from './preset-text.js';
import { matchesOf, modulesOf } from '../plan/pattern-matches.js';
import { schemeText } from '../plan/expand-scheme.js';
import { schemasAt, type SchemaFiles } from './schema-lookup.js';

export interface Hover {
  markdown: string;
  range: TextRange;
}

export interface HoverInput {
  document: RecipeDocument;
  offset: number;
  model: ModelDescription | null;
  /** Layers with the schemes that they get; null where that is not settled. */
  plan: { layers: readonly LayerPlan[] } | null;
}

const LISTED_LAYERS = 12;

export function hoverRecipe({ document, offset, model, plan }: HoverInput): Hover | null {
  const place = document.placeAt(offset);
  if (place === null || place.path.length === 0) return null;
  const markdown = place.at === 'key' ? keyText(place.path) : valueText(document.valueAt(place.path), place.path, model, plan);
  return markdown === null ? null : { markdown, range: document.rangeOf(place.path, place.at) };
}

function keyText(path: RecipePath): string | null {
  const schemas = schemasAt(recipeSchemaFiles as SchemaFiles, path);
  const key = String(path.at(-1));
  const preset = path.at(-2) === 'scheme' ? findPreset(key) : null;
  if (preset !== null) return presetExpansion(key);
  return schemas.length === 0 ? null : fieldDocumentation(key, schemas);
}

function valueText(value: unknown, path: RecipePath, model: ModelDescription | null, plan: HoverInput['plan']): string | null {
  if (typeof value !== 'string') return scalarText(value, path);
  if (wantsTarget(path)) return model === null ? null : targetText(value, model, plan);
  if (path.at(-1) === 'scheme') return findPreset(value) === null ? null : presetExpansion(value);
  if (path.length === 1 && path[0] === 'model') return model === null ? null : modelText(model);
  return scalarText(value, path);
}

/** A scalar says what its field means. */
function scalarText(value: unknown, path: RecipePath): string | null {
  return typeof value === 'object' && value !== null ? null : keyText(path);
}

function targetText(entry: string, model: ModelDescription, plan: HoverInput['plan']): string {
  const compiled = compileTarget(entry);
  if ('error' in compiled) return `Not a regular expression: ${compiled.error}.`;
  const modules = modulesOf(model);
  const matched = matchesOf(entry, modules).map(({ name }) => name);
  if (Object.hasOwn(model.modules, entry))
    return layerText(
      entry,
      model,
      plan?.layers.find((layer) => layer.name === entry),
    );
  if (matched.length === 0) return `Matches none of the ${modules.length} layers of the model.`;
  const listed = matched.slice(0, LISTED_LAYERS).map((name) => `- \`${name}\``);
  const rest = matched.length > LISTED_LAYERS ? [`- and ${matched.length - LISTED_LAYERS} more`] : [];
  return [`Matches ${matched.length} of ${modules.length} layers:`, '', ...listed, ...rest].join('\n');
}

function layerText(name: string, model: ModelDescription, layer: LayerPlan | undefined): string {
  const weight = model.tensors.find((tensor) => tensor.name === `${name}.weight`);
  const shape = weight === undefined ? 'shares its weight with another layer' : `${weight.shape.join(' × ')} ${weight.dtype}`;
  const scheme =
    layer === undefined
      ? []
      : [
          layer.scheme === null
            ? 'Stays as it is.'
            : `Becomes ${schemeText(layer.scheme)}${layer.quantizer === null ? '' : `, by ${layer.quantizer.modifier}`}.`,
        ];
  return [`\`${name}\` · ${model.modules[name]} · ${shape}`, ...scheme].join('\n\n');
}

function modelText(model: ModelDescription): string {
  const facts = model.architecture;
  const bytes = model.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const layers = Object.values(model.modules).filter((moduleClass) => moduleClass === 'Linear').length;
  return [
    `**${model.architecture_name ?? 'Architecture not named'}** · ${layers} linear layers · ${(bytes / 1e6).toPrecision(3)} MB ${model.dtype}`,
    facts === null
      ? 'Bitwright cannot run this architecture: data-free methods only.'
      : `${facts.num_hidden_layers} blocks, hidden ${facts.hidden_size}, MLP ${facts.intermediate_size}, ${facts.num_attention_heads} heads (${facts.num_key_value_heads} key/value), vocabulary ${facts.vocab_size}, context ${facts.max_position_embeddings}.`,
    `\`${model.dir}\``,
  ].join('\n\n');
}
