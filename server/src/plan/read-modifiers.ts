// The modifiers of a recipe in document order: the only shape that produces any is *_stage → *_modifiers → name → mapping.
import type { RecipePath } from '../../../schemas/src/problem.js';
import { mappingOf } from '../recipe/coerce.js';

export interface RecipeModifier {
  name: string;
  path: RecipePath;
  body: Readonly<Record<string, unknown>>;
}

/** Modifiers that quantize, in this version. */
export const quantizationModifiers: ReadonlyMap<string, 'rtn' | 'gptq'> = new Map([
  ['QuantizationModifier', 'rtn'],
  ['GPTQModifier', 'gptq'],
]);
/** Modifiers with a scheme and targets, also those that do not run yet. */
export const schemeModifiers: readonly string[] = [...quantizationModifiers.keys(), 'AutoRoundModifier'];
export const transformModifiers: readonly string[] = ['SmoothQuantModifier', 'AWQModifier'];
/** Modifiers with SmoothQuant's mappings. */
export const smoothingModifiers: readonly string[] = ['SmoothQuantModifier', 'LogarithmicEqualizationModifier'];

/** Those that llm-compressor never runs without data. */
export const calibratedModifiers: readonly string[] = [
  ...smoothingModifiers,
  'GPTQModifier',
  'AWQModifier',
  'AutoRoundModifier',
  'SparseGPTModifier',
  'WandaPruningModifier',
  'REAPPruningModifier',
];

/** Known to llm-compressor 0.13; the first four run here. */
export const knownModifiers: readonly string[] = [
  'QuantizationModifier',
  'GPTQModifier',
  'SmoothQuantModifier',
  'AWQModifier',
  'AutoRoundModifier',
  'ConstantPruningModifier',
  'LogarithmicEqualizationModifier',
  'MagnitudePruningModifier',
  'QuIPModifier',
  'REAPPruningModifier',
  'SparseGPTModifier',
  'SpinQuantModifier',
  'WandaPruningModifier',
];

export function readModifiers(recipe: Readonly<Record<string, unknown>>): RecipeModifier[] {
  return Object.entries(recipe)
    .filter(([key]) => key.endsWith('_stage'))
    .flatMap(([stage, groups]) =>
      Object.entries(mappingOf(groups))
        .filter(([key]) => key.endsWith('_modifiers'))
        .flatMap(([group, modifiers]) =>
          Object.entries(mappingOf(modifiers)).map(([name, body]) => ({ name, path: [stage, group, name], body: mappingOf(body) })),
        ),
    );
}
