// Every entry of targets and ignore that names a layer, and what became of it: why the layer gets the scheme that it gets. The order is that of assignedBy in assign-layers.ts.
import { compileTarget, targetRank, type NamedModule } from '../../../schemas/src/model/match-targets.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { matchesOf, type ModelModule } from './pattern-matches.js';
import type { SchemeGroup } from './expand-scheme.js';
import type { RecipeModifier } from './read-modifiers.js';
import type { PatternMatch, ResolvedModifier } from './resolution.js';

export type RuleOutcome =
  /** The layer gets its scheme from here. */
  | 'holds'
  /** An entry of ignore: its modifier leaves the layer alone. */
  | 'leaves-out'
  /** A target beside such an ignore. */
  | 'left-out'
  /** Another target of the same modifier goes before it. */
  | 'outranked'
  /** It would hold, and a later modifier takes the layer over. */
  | 'taken-over'
  /** The layer is neither Linear nor Embedding. */
  | 'no-matrix';

export interface LayerRule {
  entry: string;
  path: RecipePath;
  modifier: RecipeModifier;
  /** null for ignore. */
  group: SchemeGroup | null;
  outcome: RuleOutcome;
  /** What it gave way to. */
  winner: Pick<LayerRule, 'entry' | 'modifier' | 'group'> | null;
}

/** In the order of the recipe. */
export function rulesOfLayer(quantization: readonly ResolvedModifier[], module: NamedModule): LayerRule[] {
  const rules = quantization.map((resolved) => rulesOfModifier(resolved, module));
  const last = rules.flat().findLast(({ outcome }) => outcome === 'holds');
  return rules.flat().map((rule) => {
    const isEarlier = rule.outcome === 'holds' && last !== undefined && rule !== last;
    return isEarlier ? { ...rule, outcome: 'taken-over', winner: last } : rule;
  });
}

/** The rule that gives the layer its scheme; else the last one that keeps it from getting one; null where none names it. */
export function decidingRule(rules: readonly LayerRule[]): LayerRule | null {
  return rules.find(({ outcome }) => outcome === 'holds') ?? rules.findLast(({ outcome }) => outcome === 'leaves-out') ?? null;
}

/** The deciding rule of each module, in their order. Those that the same entries name in the same way share it: a model has tens of thousands, and few ways. */
export function decidingRules(quantization: readonly ResolvedModifier[], modules: readonly ModelModule[]): (LayerRule | null)[] {
  const named = modules.map((module): string => module.class);
  for (const { patterns } of quantization)
    for (const { entry, path } of patterns)
      for (const module of matchesOf(entry, modules)) named[module.index] += `\n${path.join('/')} ${targetRank(entry, module)}`;
  const known = new Map<string, LayerRule | null>();
  return modules.map((module, index) => {
    const key = named[index] ?? '';
    const rule = known.get(key);
    if (rule !== undefined) return rule;
    const found = decidingRule(rulesOfLayer(quantization, module));
    known.set(key, found);
    return found;
  });
}

function rulesOfModifier({ modifier, groups, patterns }: ResolvedModifier, module: NamedModule): LayerRule[] {
  const own = patterns.filter(({ entry }) => matches(entry, module));
  const ignored = own.find(({ kind }) => kind === 'ignore');
  const targets = own.filter(({ kind }) => kind === 'target').map((pattern) => ({ pattern, index: groupIndex(groups, pattern) }));
  const [best] = targets.toSorted(
    (a, b) =>
      targetRank(a.pattern.entry, module) - targetRank(b.pattern.entry, module) ||
      (a.pattern.entry < b.pattern.entry ? -1 : a.pattern.entry > b.pattern.entry ? 1 : b.index - a.index),
  );
  const rule = (pattern: PatternMatch, outcome: RuleOutcome, winner: LayerRule['winner']): LayerRule => ({
    entry: pattern.entry,
    path: pattern.path,
    modifier,
    group: pattern.kind === 'ignore' ? null : (groups[groupIndex(groups, pattern)] ?? null),
    outcome,
    winner,
  });
  return own.map((pattern) => {
    if (pattern.kind === 'ignore') return rule(pattern, 'leaves-out', null);
    if (ignored !== undefined) return rule(pattern, 'left-out', { entry: ignored.entry, modifier, group: null });
    if (module.class === 'Other') return rule(pattern, 'no-matrix', null);
    if (pattern === best?.pattern) return rule(pattern, 'holds', null);
    return rule(pattern, 'outranked', { entry: best?.pattern.entry ?? '', modifier, group: groups[best?.index ?? -1] ?? null });
  });
}

function matches(entry: string, module: NamedModule): boolean {
  const compiled = compileTarget(entry);
  return 'matcher' in compiled && compiled.matcher(module);
}

const groupIndex = (groups: readonly SchemeGroup[], { path }: PatternMatch): number =>
  groups.findIndex(({ targetsPath }) => targetsPath.every((step, index) => path[index] === step));
