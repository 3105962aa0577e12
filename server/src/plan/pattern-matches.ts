// Which modules of a model an entry of targets or ignore matches, kept as long as the model: a key press changes one entry of many, and a model may have ten thousand layers.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { compileTarget, type NamedModule } from '../../../schemas/src/model/match-targets.js';

const modulesOfModel = new WeakMap<ModelDescription, readonly NamedModule[]>();
const matchesOfModules = new WeakMap<readonly NamedModule[], Map<string, readonly NamedModule[]>>();
/** Entries that were typed on the way to others are dropped now and then. */
const mostEntries = 5000;

/** The same array for the same model. */
export function modulesOf(model: ModelDescription): readonly NamedModule[] {
  const known = modulesOfModel.get(model);
  if (known !== undefined) return known;
  const modules = Object.entries(model.modules).map(([name, moduleClass]) => ({ name, class: moduleClass }));
  modulesOfModel.set(model, modules);
  return modules;
}

/** In the order of the modules; empty for an invalid regular expression. */
export function matchesOf(entry: string, modules: readonly NamedModule[]): readonly NamedModule[] {
  let kept = matchesOfModules.get(modules);
  if (kept === undefined || kept.size > mostEntries) matchesOfModules.set(modules, (kept = new Map()));
  const known = kept.get(entry);
  if (known !== undefined) return known;
  const compiled = compileTarget(entry);
  const matches = 'matcher' in compiled ? modules.filter(compiled.matcher) : [];
  kept.set(entry, matches);
  return matches;
}
