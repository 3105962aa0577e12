// Where a recipe names the observers of a scheme, and in which words; the scheme itself holds what they mean.
import type { RecipePath } from '../../../schemas/src/problem.js';
import { mappingOf } from '../recipe/coerce.js';
import type { SchemeGroup } from './expand-scheme.js';
import type { RecipeModifier } from './read-modifiers.js';

export type ObserverPlace = 'weights' | 'input_activations' | 'output_activations';

export interface SaidObserver {
  text: string;
  path: RecipePath;
}

/** The field and the key of `observer` that overrule the observers of a place. */
export const observerFields: Readonly<Record<ObserverPlace, { field: string; key: string }>> = {
  weights: { field: 'weight_observer', key: 'weights' },
  input_activations: { field: 'input_observer', key: 'input' },
  output_activations: { field: 'output_observer', key: 'output' },
};

/** The modifier overrules the args; null where neither says one. */
export function saidObserver(modifier: RecipeModifier, group: SchemeGroup, place: ObserverPlace): SaidObserver | null {
  const { body, path } = modifier;
  const { field, key } = observerFields[place];
  const inMapping = mappingOf(body['observer'])[key];
  if (typeof body[field] === 'string') return { text: body[field], path: [...path, field] };
  if (typeof inMapping === 'string') return { text: inMapping, path: [...path, 'observer', key] };
  const args = saidArgs(modifier, group, place);
  const observer = args?.args['observer'];
  return args !== null && typeof observer === 'string' ? { text: observer, path: [...args.path, 'observer'] } : null;
}

/** The args of a scheme as written; null for a preset. */
export function saidArgs(
  { body }: RecipeModifier,
  { name, path }: SchemeGroup,
  place: ObserverPlace,
): { args: Readonly<Record<string, unknown>>; path: RecipePath } | null {
  if (!path.includes('config_groups')) return null;
  return { args: mappingOf(mappingOf(mappingOf(body['config_groups'])[name])[place]), path: [...path, place] };
}
