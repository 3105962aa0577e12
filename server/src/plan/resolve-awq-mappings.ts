// AWQ mappings → module names: the ones that the recipe gives, else those of the Llama family in llm-compressor 0.13; with the parent whose output the
// search compares, and the linear whose input is recorded. Pairs that cannot be scaled are kept apart with their reason.
import type { AwqPlan, LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { madeOnce } from '../../../schemas/src/made-once.js';
import { mappingOf, textOf, textsOf } from '../recipe/coerce.js';
import { containerModules } from './container-modules.js';
import { matchesOf, modulesOf } from './pattern-matches.js';
import type { RecipeModifier } from './read-modifiers.js';

export interface AwqPatterns {
  smooth: string;
  balance: readonly string[];
  activation_hook_target: string | null;
  path: RecipePath;
}

export interface ResolvedAwq {
  modifier: RecipeModifier;
  mappings: AwqPlan['mappings'];
  passed_over: AwqPlan['passed_over'];
}

/** For the classes that have no mappings of their own. */
const defaults: readonly { smooth: string; balance: readonly string[] }[] = [
  { smooth: 're:.*input_layernorm$', balance: ['re:.*q_proj$', 're:.*k_proj$', 're:.*v_proj$'] },
  { smooth: 're:.*v_proj$', balance: ['re:.*o_proj$'] },
  { smooth: 're:.*post_attention_layernorm$', balance: ['re:.*gate_proj$', 're:.*up_proj$'] },
  { smooth: 're:.*up_proj$', balance: ['re:.*down_proj$'] },
];

/** null where the recipe gives none and the architecture may have mappings of its own. Entries that are no mapping are told by the schema. */
export function awqPatterns({ body, path }: RecipeModifier, isLlama: boolean): AwqPatterns[] | null {
  const said = Array.isArray(body['mappings']) ? (body['mappings'] as unknown[]) : null;
  if (said === null) return isLlama ? defaults.map((mapping) => ({ ...mapping, activation_hook_target: null, path })) : null;
  return said
    .map((entry, index) => ({
      smooth: textOf(mappingOf(entry)['smooth_layer'], ''),
      balance: textsOf(mappingOf(entry)['balance_layers']),
      activation_hook_target: textOf(mappingOf(entry)['activation_hook_target'], '') || null,
      path: [...path, 'mappings', index],
    }))
    .filter(({ smooth, balance }) => smooth !== '' && balance.length > 0);
}

/** Norms have no matrix, and are what AWQ mostly scales. */
export function namesMatching(entry: string, model: ModelDescription): string[] {
  const compiled = compileTarget(entry);
  if (!('matcher' in compiled)) return [];
  const norms = containerModules(model).filter(({ kind, name }) => kind === 'norm' && compiled.matcher({ name, class: 'Other' }));
  return [...matchesOf(entry, modulesOf(model)), ...norms].map(({ name }) => name);
}

/** The block of a module with its number, e.g. `model.layers.3.`; empty outside. */
export const blockPrefix = (name: string): string => /^.*?\.\d+\./.exec(name)?.[0] ?? '';

/** A smooth layer of one block with the layers that it feeds there. */
export interface AwqPair {
  smooth_layer: string;
  balance_layers: string[];
}

export function pairsOf({ smooth, balance }: AwqPatterns, model: ModelDescription): AwqPair[] {
  const byBlock = new Map<string, Set<string>>();
  for (const name of balance.flatMap((entry) => namesMatching(entry, model))) {
    const block = blockPrefix(name);
    byBlock.set(block, (byBlock.get(block) ?? new Set()).add(name));
  }
  return namesMatching(smooth, model).flatMap((smooth_layer) => {
    const balanced = byBlock.get(blockPrefix(smooth_layer));
    return balanced === undefined ? [] : [{ smooth_layer, balance_layers: [...balanced] }];
  });
}

/** The lowest module that holds all: one layer is its own. */
export function parentOf(names: readonly string[]): string {
  const [first = [], ...others] = names.map((name) => name.split('.'));
  const differs = first.findIndex((part, index) => others.some((parts) => parts[index] !== part));
  return (differs < 0 ? first : first.slice(0, differs)).join('.');
}

/** The linear at which the input is recorded; null where the submodule is none that a row passes with one input. */
export function observedLayer({ balance_layers }: AwqPair, hook: string | null, model: ModelDescription): string | null {
  if (hook === null) return balance_layers[0] ?? null;
  const named = `${parentOf(balance_layers)}.${hook}`;
  return [named, ...(named.endsWith('.mlp') ? [`${named}.gate_proj`] : [])].find((name) => model.modules[name] === 'Linear') ?? null;
}

const shapesOf = madeOnce(
  (model: ModelDescription): ReadonlyMap<string, readonly number[]> => new Map(model.tensors.map((tensor) => [tensor.name, tensor.shape])),
);

/** What a layer hands on and takes: rows and columns of a matrix, the length of a norm. */
export function widthOf(name: string, model: ModelDescription): { outputs: number; inputs: number } | null {
  const shape = shapesOf(model).get(`${name}.weight`);
  return shape === undefined ? null : { outputs: shape[0] ?? 0, inputs: shape[1] ?? shape[0] ?? 0 };
}

/** Values and outputs of attention whose heads share keys and values: left out by AWQ's authors too (mit-han-lab/llm-awq, PR 67). */
export const isSharedHeads = ({ smooth_layer, balance_layers }: AwqPair, model: ModelDescription): boolean =>
  smooth_layer.endsWith('.v_proj') &&
  balance_layers.some((name) => name.endsWith('.o_proj') && widthOf(name, model)?.inputs !== widthOf(smooth_layer, model)?.outputs);

export function resolveAwqMappings(modifier: RecipeModifier, model: ModelDescription, layers: readonly LayerPlan[]): ResolvedAwq {
  const resolved: ResolvedAwq = { modifier, mappings: [], passed_over: [] };
  const quantized = new Set(layers.filter(({ scheme }) => scheme?.weights).map(({ name }) => name));
  for (const patterns of awqPatterns(modifier, model.architecture !== null) ?? [])
    for (const pair of pairsOf(patterns, model)) {
      const reason = reasonToPassOver(pair, model, quantized);
      if (reason !== null) resolved.passed_over.push({ smooth_layer: pair.smooth_layer, reason });
      else {
        const observed = observedLayer(pair, patterns.activation_hook_target, model);
        // Where there is none, awq-cannot-scale has said so and the plan is not used.
        if (observed !== null) resolved.mappings.push({ ...pair, parent: parentOf(pair.balance_layers), observed });
      }
    }
  return resolved;
}

function reasonToPassOver(pair: AwqPair, model: ModelDescription, quantized: ReadonlySet<string>): string | null {
  const role = (name: string): string => name.slice(name.lastIndexOf('.') + 1);
  if (isSharedHeads(pair, model)) {
    const taken = pair.balance_layers.find((name) => name.endsWith('.o_proj')) ?? '';
    return `${role(pair.smooth_layer)} hands on ${widthOf(pair.smooth_layer, model)?.outputs} channels and ${role(taken)} takes ${widthOf(taken, model)?.inputs}: heads share their values`;
  }
  if (!pair.balance_layers.some((name) => quantized.has(name)))
    return `none of ${pair.balance_layers.map(role).join(', ')} is quantized by this recipe`;
  return null;
}
