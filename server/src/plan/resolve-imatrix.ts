// The importance matrices that GGUFModifier names, and what of them belongs to which layer, by the names that tensors have in a GGUF file.
import type { ImatrixPlan, LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { ggufName } from '../../../schemas/src/model/gguf-names.js';
import { readImatrix, type Imatrix } from '../../../schemas/src/model/imatrix.js';
import type { ModelFiles, PathKind } from '../../../schemas/src/model/model-files.js';
import { HeaderError } from '../../../schemas/src/model/safetensors-header.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { imatrixOf } from './quantizers/gguf.js';
import type { RecipeModifier } from './read-modifiers.js';

export interface ResolvedImatrix {
  modifier: RecipeModifier;
  path: RecipePath;
  /** Absolute; null: not known, as the recipe is not saved and the path is relative. */
  file: string | null;
  kind: PathKind;
  /** null where it is not there or cannot be read. */
  imatrix: Imatrix | null;
  /** Why it cannot be read. */
  fault: string | null;
}

export const resolveImatrices = (
  modifiers: readonly RecipeModifier[],
  absolute: (named: string) => string | null,
  files: ModelFiles,
): Promise<ResolvedImatrix[]> =>
  Promise.all(
    modifiers.flatMap((modifier) => {
      const named = modifier.name === 'GGUFModifier' ? imatrixOf(modifier.body) : null;
      return named === null ? [] : [resolved(modifier, absolute(named), files)];
    }),
  );

async function resolved(modifier: RecipeModifier, file: string | null, files: ModelFiles): Promise<ResolvedImatrix> {
  const place = { modifier, path: [...modifier.path, 'imatrix'], file };
  const kind = file === null ? 'none' : await files.kindOf(file);
  if (file === null || kind !== 'file') return { ...place, kind, imatrix: null, fault: null };
  try {
    return { ...place, kind, imatrix: await readImatrix(files, file, file), fault: null };
  } catch (error) {
    return { ...place, kind, imatrix: null, fault: error instanceof HeaderError ? error.detail : String(error) };
  }
}

/** null: GGUF has no name for it, and so no file. */
export const importanceName = ({ tensor }: LayerPlan, { architecture }: ModelDescription): string | null =>
  architecture === null ? null : ggufName(tensor, architecture);

/** The layers that the modifier of a matrix quantizes. */
export const weighedLayers = ({ modifier }: ResolvedImatrix, layers: readonly LayerPlan[]): LayerPlan[] => {
  const at = modifier.path.join('/');
  return layers.filter(({ quantizer }) => quantizer?.name === 'gguf' && quantizer.recipe_path.join('/') === at);
};

export function withImportance(layers: LayerPlan[], imatrices: readonly ResolvedImatrix[], model: ModelDescription): LayerPlan[] {
  const plans = new Map<LayerPlan, ImatrixPlan>();
  for (const resolved of imatrices)
    if (resolved.file !== null)
      for (const layer of weighedLayers(resolved, layers)) {
        const found = resolved.imatrix?.get(importanceName(layer, model) ?? '');
        const fits = found !== undefined && found.count > 0 && found.columns === layer.columns;
        plans.set(layer, { file: resolved.file, entry: fits ? { offset: found.offset, count: found.count, sum: found.sum } : null });
      }
  return plans.size === 0 ? layers : layers.map((layer) => weighedBy(layer, plans.get(layer)));
}

const weighedBy = (layer: LayerPlan, imatrix: ImatrixPlan | undefined): LayerPlan =>
  imatrix === undefined || layer.quantizer?.name !== 'gguf' ? layer : { ...layer, quantizer: { ...layer.quantizer, imatrix } };
