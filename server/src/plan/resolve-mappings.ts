// SmoothQuant mappings → module names: the ones that the recipe gives, else those of the architecture. Llama-family defaults as in llm-compressor 0.13.
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import type { NamedModule } from '../../../schemas/src/model/match-targets.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { textsOf } from '../recipe/coerce.js';
import { matchesOf } from './pattern-matches.js';
import type { RecipeModifier } from './read-modifiers.js';

export interface ResolvedMapping {
  smooth_layer: string;
  balance_layers: string[];
}

export interface ResolvedMappings {
  mappings: ResolvedMapping[];
  /** Mappings whose layers are all ignored. */
  n_ignored: number;
  problems: Problem[];
}

interface PatternMapping {
  balance: string[];
  smooth: string;
  path: RecipePath;
}

const llamaDefaults: readonly [string[], string][] = [
  [['re:.*q_proj', 're:.*k_proj', 're:.*v_proj'], 're:.*input_layernorm'],
  [['re:.*gate_proj', 're:.*up_proj'], 're:.*post_attention_layernorm'],
];

/** `modules` holds every module with a weight, norms too, and is the same array for the same model: what an entry matches is kept with it. `isLlama`: the architecture has the default mappings. */
export function resolveMappings(modifier: RecipeModifier, modules: readonly NamedModule[], isLlama: boolean): ResolvedMappings {
  const { body, path, name } = modifier;
  const said = Array.isArray(body['mappings']) ? (body['mappings'] as unknown[]) : null;
  const problems: Problem[] = [];
  // Of an architecture that cannot be run here architecture-not-runnable speaks, and no mappings of the user's would help.
  if (said === null && !isLlama) return { mappings: [], n_ignored: 0, problems };
  const patterns: PatternMapping[] =
    said === null
      ? llamaDefaults.map(([balance, smooth]) => ({ balance, smooth, path }))
      : said.map((entry, index) => {
          // llm-compressor takes all texts of an entry in their order, and the last for the smooth layer. What is no pair is refused by the schema.
          const texts = textsOf(Array.isArray(entry) ? (entry as unknown[]).flat(2) : null);
          return { balance: texts.slice(0, -1), smooth: texts.at(-1) ?? '', path: [...path, 'mappings', index] };
        });
  const ignored = textsOf(body['ignore']).map(compileTarget);
  const isIgnored = (module: string): boolean =>
    ignored.some((compiled) => 'matcher' in compiled && compiled.matcher({ name: module, class: 'Linear' }));
  const found = patterns.flatMap((pattern) => resolveOne(pattern, name, modules, problems));
  const mappings = found.filter((mapping) => ![mapping.smooth_layer, ...mapping.balance_layers].every(isIgnored));
  return { mappings, n_ignored: found.length - mappings.length, problems };
}

function resolveOne(pattern: PatternMapping, modifier: string, modules: readonly NamedModule[], problems: Problem[]): ResolvedMapping[] {
  const find = (entry: string): string[] => matchesOf(entry, modules).map((module) => module.name);
  const smooth = find(pattern.smooth);
  const balance = pattern.balance.map((entry) => ({ entry, names: find(entry) }));
  const empty = [
    ...(smooth.length === 0 ? [pattern.smooth] : []),
    ...balance.filter(({ names }) => names.length === 0).map(({ entry }) => entry),
  ];
  if (empty.length > 0) {
    const everything = empty.length === pattern.balance.length + 1;
    problems.push({
      code: 'smoothquant-mappings-unresolved',
      severity: everything ? 'warning' : 'error',
      path: pattern.path,
      at: 'key',
      message: `${modifier}: ${empty.join(', ')} ${empty.length === 1 ? 'matches' : 'match'} no module of the model, so this mapping ${everything ? 'does nothing' : 'cannot be resolved'}. Give the names of this model's layers.`,
    });
    return [];
  }
  const flat = balance.find(({ names }) => names.some((found) => found.endsWith('norm')));
  if (flat !== undefined) {
    problems.push({
      code: 'smoothquant-mappings-unresolved',
      severity: 'error',
      path: pattern.path,
      at: 'key',
      message: `${modifier}: ${flat.entry} is a norm and stands among the balance layers, whose columns are multiplied; llm-compressor fails on it. A mapping is [[balance layers], smooth layer], in this order.`,
    });
    return [];
  }
  // A smooth layer and its balance layers stand in the same block: the longest common parent decides.
  const below = new Map<string, string[]>(smooth.map((name) => [parentOf(name), []]));
  for (const { names } of balance) for (const name of names) for (const prefix of prefixesOf(name)) below.get(prefix)?.push(name);
  return smooth.flatMap((name) => {
    const balance_layers = below.get(parentOf(name)) ?? [];
    return balance_layers.length === 0 ? [] : [{ smooth_layer: name, balance_layers: [...balance_layers] }];
  });
}

const parentOf = (name: string): string => name.slice(0, name.lastIndexOf('.') + 1);

/** Of a.b.c: nothing, `a.` and `a.b.`. */
function prefixesOf(name: string): string[] {
  const found = [''];
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) found.push(name.slice(0, dot + 1));
  return found;
}
