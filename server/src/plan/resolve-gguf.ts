// Whether the output is a GGUF file, what it is called, and what stands against it.
import path from 'node:path';
import type { GgufOutput, LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { tokenizerObstacle, weightObstacles } from '../../../schemas/src/model/gguf-obstacles.js';
import { readTokenizerFiles } from '../../../schemas/src/model/gguf-tokenizer-files.js';
import type { GgufTokenizer } from '../../../schemas/src/model/gguf-tokenizer.js';
import type { ModelFiles } from '../../../schemas/src/model/model-files.js';
import { coerceTo, mappingOf, textOf } from '../recipe/coerce.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import type { ModifierGroups } from './assign-layers.js';
import { defaultType, fileTypeName, fileTypeNumber } from './quantizers/gguf.js';

export interface ResolvedGguf {
  /** null while there is no model. */
  output: GgufOutput | null;
  /** Each in a clause that begins with the model: its rope_type is …. */
  obstacles: readonly string[];
  /** What tokenizer.json is split by, where llama.cpp has no name for it and the recipe says none. */
  unknownPattern: string | null;
}

/** What output.format asks for; auto follows the modifiers. */
function isGgufOutput(document: RecipeDocument, quantization: readonly Pick<ModifierGroups, 'modifier'>[]): boolean {
  const format = textOf(mappingOf(document.value['output'])['format'], 'auto');
  return format === 'auto' ? quantization.some(({ modifier }) => modifier.name === 'GGUFModifier') : format === 'gguf';
}

export async function resolveGguf(
  document: RecipeDocument,
  model: ModelDescription | null,
  quantization: readonly ModifierGroups[],
  layers: readonly LayerPlan[],
  files: ModelFiles,
): Promise<ResolvedGguf | null> {
  if (!isGgufOutput(document, quantization)) return null;
  if (model === null) return { output: null, obstacles: [], unknownPattern: null };
  const tokenizer = await tokenizerOf(model, files);
  const said = textOf(mappingOf(document.value['output'])['tokenizer_pre'], '');
  const found = typeof tokenizer === 'string' ? null : tokenizer;
  const type = fileType(quantization, layers);
  const name = modelName(document, model);
  return {
    output: {
      file: `${name}-${type}.gguf`,
      name,
      file_type: fileTypeNumber(type) ?? 1,
      tokenizer_pre: found?.kind === 'llama' ? null : said !== '' ? said : (found?.pre ?? null),
    },
    obstacles: [...weightObstacles(model), ...(typeof tokenizer === 'string' ? [tokenizer] : [])],
    unknownPattern: said === '' ? (found?.pattern ?? null) : null,
  };
}

/** A description is of one state of its folder; tokenizer.json may have tens of megabytes, and every key press asks. */
const kept = new WeakMap<ModelDescription, Promise<GgufTokenizer | string>>();

function tokenizerOf(model: ModelDescription, files: ModelFiles): Promise<GgufTokenizer | string> {
  const known = kept.get(model);
  if (known !== undefined) return known;
  const asked = readTokenizerFiles(model, files).then(
    (read) => tokenizerObstacle(model, read),
    (error: unknown) => `its tokenizer cannot be read: ${error instanceof Error ? error.message : String(error)}`,
  );
  kept.set(model, asked);
  return asked;
}

/** The type that the one modifier says; with groups or several modifiers that of most weights. */
function fileType(quantization: readonly ModifierGroups[], layers: readonly LayerPlan[]): string {
  const [only, ...others] = quantization.filter(({ modifier }) => modifier.name === 'GGUFModifier');
  if (only !== undefined && others.length === 0 && (only.modifier.body['config_groups'] ?? null) === null)
    return fileTypeName(textOf(only.modifier.body['type'], defaultType));
  const weights = new Map<string, number>();
  for (const { scheme, rows, columns } of layers) {
    const type = scheme?.weights?.gguf_type;
    if (type !== undefined) weights.set(type, (weights.get(type) ?? 0) + rows * columns);
  }
  const [most] = [...weights].sort((a, b) => b[1] - a[1]);
  return most === undefined ? defaultType : fileTypeName(most[0]);
}

/** The last part of what the recipe calls the model: a hub's id or a path. */
function modelName(document: RecipeDocument, model: ModelDescription): string {
  const named = coerceTo('string', document.value['model']);
  const last = typeof named === 'string' ? path.basename(named) : '';
  return (/^[\w.-]*\w[\w.-]*$/.test(last) ? last : path.basename(model.dir)).replace(/[^\w.-]/g, '_');
}
