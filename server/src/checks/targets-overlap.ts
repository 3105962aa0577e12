// Modules that several groups or several modifiers name: one of them wins, by rules that differ between llm-compressor and vLLM and are not the order of the recipe.
import { targetRank } from '../../../schemas/src/model/match-targets.js';
import type { NamedModule } from '../../../schemas/src/model/match-targets.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import type { SchemeGroup } from '../plan/expand-scheme.js';
import { matchesOf, modulesOf } from '../plan/pattern-matches.js';
import type { Resolution, ResolvedModifier } from '../plan/resolution.js';
import { textsOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const targetsOverlap: Check = {
  code: 'targets-overlap',
  run(resolution) {
    const { model, quantization } = resolution;
    if (model === null) return [];
    const modules = modulesOf(model);
    return [...quantization.flatMap((resolved) => withinModifier(resolved, modules)), ...betweenModifiers(resolution, modules)];
  },
};

interface Claim {
  /** Of the group. */
  index: number;
  group: SchemeGroup;
  target: string;
}

/** The entry itself where targets are a list. */
function placeOf({ patterns }: ResolvedModifier, { group, target }: Claim): RecipePath {
  const own = patterns.find(
    ({ kind, entry, path }) => kind === 'target' && entry === target && group.targetsPath.every((step, index) => path[index] === step),
  );
  return own?.path ?? group.targetsPath;
}

/** Two groups of one modifier, by entries of the same kind: a name beside a pattern beside a class is an order that everybody keeps. */
function withinModifier(resolved: ResolvedModifier, modules: readonly NamedModule[]): Problem[] {
  const { modifier, groups } = resolved;
  if (groups.length < 2) return [];
  const ignored = ignoredBy(modifier.body, modules);
  const schemes = groups.map(({ scheme }) => JSON.stringify(scheme));
  const firstClaims = new Map<NamedModule, Claim>();
  const contested = new Map<NamedModule, Claim[]>();
  for (const [index, group] of groups.entries())
    for (const target of group.targets) {
      const claim = { index, group, target };
      for (const module of matchesOf(target, modules)) {
        if (ignored.has(module) || module.class === 'Other') continue;
        const first = firstClaims.get(module);
        if (first === undefined) firstClaims.set(module, claim);
        else contested.set(module, [...(contested.get(module) ?? [first]), claim]);
      }
    }
  const found = new Map<string, { winner: Claim; loser: Claim; modules: NamedModule[] }>();
  for (const [module, all] of contested) {
    const [winner, second] = all.toSorted((a, b) => order(a, b, module));
    if (winner === undefined || second === undefined || winner.group === second.group) continue;
    if (targetRank(winner.target, module) !== targetRank(second.target, module)) continue;
    if (schemes[winner.index] === schemes[second.index]) continue;
    const key = `${winner.index} ${second.index} ${winner.target} ${second.target}`;
    const known = found.get(key);
    if (known === undefined) found.set(key, { winner, loser: second, modules: [module] });
    else known.modules.push(module);
  }
  return [...found.values()].map(({ winner, loser, modules: both }) => ({
    code: 'targets-overlap',
    severity: 'warning',
    path: loser.group.targetsPath,
    at: 'value',
    message: `${loser.target} of ${loser.group.name} and ${winner.target} of ${winner.group.name} both match ${listed(both)}; ${winner.group.name} wins, ${winner.target === loser.target ? 'as the later group' : 'as its text comes first in the order of letters'}, and vLLM chooses by other rules. Make the targets disjoint.`,
    related: [{ path: placeOf(resolved, winner), at: 'value', message: `${winner.target} of ${winner.group.name} wins` }],
  }));
}

/** compressed-tensors' order; of equal texts the later group. */
function order(a: Claim, b: Claim, module: NamedModule): number {
  return (
    targetRank(a.target, module) - targetRank(b.target, module) || (a.target < b.target ? -1 : a.target > b.target ? 1 : b.index - a.index)
  );
}

/** A later modifier takes a module away from an earlier one. */
function betweenModifiers({ quantization }: Resolution, modules: readonly NamedModule[]): Problem[] {
  if (quantization.length < 2) return [];
  const owners = new Map<NamedModule, ResolvedModifier>();
  return quantization.flatMap((resolved) => {
    const ignored = ignoredBy(resolved.modifier.body, modules);
    const own = resolved.groups.flatMap(({ scheme, targets }) =>
      scheme === null || (scheme.weights ?? scheme.input_activations) === null
        ? []
        : targets.flatMap((target) => matchesOf(target, modules)),
    );
    const taken: NamedModule[] = [];
    let earlier: ResolvedModifier | undefined;
    for (const module of new Set(own)) {
      if (ignored.has(module) || module.class === 'Other') continue;
      const owner = owners.get(module);
      if (owner !== undefined) {
        taken.push(module);
        earlier = owner;
      }
      owners.set(module, resolved);
    }
    if (earlier === undefined) return [];
    return [
      {
        code: 'targets-overlap',
        severity: 'warning' as const,
        path: resolved.modifier.path,
        at: 'key' as const,
        message: `${resolved.modifier.name} takes ${listed(taken)} over from the ${earlier.modifier.name} before it, whose work on ${taken.length === 1 ? 'it' : 'them'} is lost. Let each modifier name its own modules.`,
        related: [{ path: earlier.modifier.path, at: 'key' as const, message: `the work of this ${earlier.modifier.name} is lost there` }],
      },
    ];
  });
}

const ignoredBy = (body: Readonly<Record<string, unknown>>, modules: readonly NamedModule[]): Set<NamedModule> =>
  new Set(textsOf(body['ignore']).flatMap((entry) => matchesOf(entry, modules)));

function listed(modules: readonly NamedModule[]): string {
  const [first] = modules;
  return modules.length === 1 ? (first?.name ?? '') : `${modules.length} modules (${first?.name ?? ''} and others)`;
}
