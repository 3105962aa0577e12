// Which modules of a model an entry of targets or ignore matches, kept as long as the model: a key press changes one entry of many, and a model may have ten thousand layers.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { compileTarget, type NamedModule } from '../../../schemas/src/model/match-targets.js';
import { madeOnce } from '../../../schemas/src/made-once.js';

/** Of a model: `index` is its place among them. */
export interface ModelModule extends NamedModule {
  index: number;
}

/** Entries that were typed on the way to others are dropped now and then. */
const mostEntries = 5000;

interface ModuleIndex {
  /** By the last part of the name. */
  byRole: ReadonlyMap<string, readonly NamedModule[]>;
  /** Name → place; made where an entry names modules. */
  places: ReadonlyMap<string, number> | null;
  /** Entry → what it matches. */
  kept: Map<string, readonly NamedModule[]>;
}

const indexOfModules = new WeakMap<readonly NamedModule[], ModuleIndex>();

/** The same array for the same model. */
export const modulesOf = madeOnce((model: ModelDescription): readonly ModelModule[] => {
  return Object.entries(model.modules).map(([name, moduleClass], index) => ({ name, class: moduleClass, index }));
});

/** Norms behind the modules, as smoothing speaks of them. The same array for the same model. */
export const modulesAndNormsOf = madeOnce((model: ModelDescription): readonly NamedModule[] => {
  const norms = model.tensors
    .filter((tensor) => tensor.shape.length === 1 && tensor.name.endsWith('norm.weight'))
    .map((tensor): NamedModule => ({ name: tensor.name.slice(0, -'.weight'.length), class: 'Other' }));
  return [...modulesOf(model), ...norms];
});

/** In the order of the modules; empty for an invalid regular expression. */
export function matchesOf<Module extends NamedModule>(entry: string, modules: readonly Module[]): readonly Module[] {
  const index = indexOf(modules);
  const known = index.kept.get(entry);
  // What is kept of these modules was found among them.
  if (known !== undefined) return known as readonly Module[];
  const matches = findMatches(entry, modules, index) as readonly Module[];
  if (index.kept.size >= mostEntries) index.kept.clear();
  index.kept.set(entry, matches);
  return matches;
}

/** A recipe's first reading asks hundreds of entries of thousands of modules: most can be told by the end of the name. */
function findMatches(entry: string, modules: readonly NamedModule[], index: ModuleIndex): readonly NamedModule[] {
  const compiled = compileTarget(entry);
  if ('error' in compiled) return [];
  const { matcher, names, end } = compiled;
  if (names !== null) {
    const places = (index.places ??= new Map(modules.map(({ name }, place) => [name, place])));
    const found = [...new Set(names.map((name) => places.get(name) ?? -1))].filter((place) => place >= 0).sort((a, b) => a - b);
    return found.flatMap((place) => modules[place] ?? []);
  }
  if (end === null) return modules.filter(matcher);
  const { byRole } = index;
  const roles = [...byRole.keys()].filter((role) => role.endsWith(end));
  const [only] = roles;
  if (only === undefined) return [];
  return (roles.length === 1 ? (byRole.get(only) ?? []) : modules).filter(matcher);
}

/** The last parts of their names, each once. */
export const rolesOf = (modules: readonly NamedModule[]): string[] => [...indexOf(modules).byRole.keys()];

function indexOf(modules: readonly NamedModule[]): ModuleIndex {
  const known = indexOfModules.get(modules);
  if (known !== undefined) return known;
  const byRole = new Map<string, NamedModule[]>();
  for (const module of modules) {
    const role = module.name.slice(module.name.lastIndexOf('.') + 1);
    const others = byRole.get(role);
    if (others === undefined) byRole.set(role, [module]);
    else others.push(module);
  }
  const index: ModuleIndex = { byRole, places: null, kept: new Map() };
  indexOfModules.set(modules, index);
  return index;
}
