// The modifiers of a recipe in document order: the only shape that produces any is *_stage → *_modifiers → name → mapping.
import type { QuantizerPlan } from '../../../schemas/src/generated/plan.js';
import { modifierFacts, quantizerFacts, type ModifierFacts } from '../../../schemas/src/modifiers.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { mappingOf } from '../recipe/coerce.js';

export interface RecipeModifier {
  name: string;
  path: RecipePath;
  body: Readonly<Record<string, unknown>>;
}

const names = (fits: (facts: ModifierFacts) => boolean): readonly string[] => modifierFacts.filter(fits).map(({ name }) => name);

/** Modifiers that quantize in this version, and their names in a plan. */
export const quantizationModifiers: ReadonlyMap<string, QuantizerPlan['name']> = new Map(
  Object.entries(quantizerFacts).map(([stem, { modifier }]) => [modifier, stem as QuantizerPlan['name']]),
);
/** Modifiers with a scheme and targets, also those that do not run yet. */
export const schemeModifiers = names(({ kind }) => kind === 'quantizer');
/** Transforms that run. */
export const transformModifiers = names(({ kind, stem }) => kind === 'transform' && stem !== null);
/** Corrections of what quantizers have made. */
export const correctionModifiers = names(({ kind, stem }) => kind === 'correction' && stem !== null);
/** Pruning that runs. */
export const pruningModifiers = names(({ kind, stem }) => kind === 'pruning' && stem !== null);
/** Modifiers with SmoothQuant's mappings. */
export const smoothingModifiers: readonly string[] = ['SmoothQuantModifier', 'LogarithmicEqualizationModifier'];
export const calibratedModifiers = names(({ calibrated }) => calibrated);
export const knownModifiers = names(() => true);

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
