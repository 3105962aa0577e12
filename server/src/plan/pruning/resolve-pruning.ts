// A modifier that prunes → its part of the plan: every layer that it prunes, with its share of zeros. Who is meant follows llm-compressor 0.13.
import type { ModelDescription, PrunedLayer, PrunerPlan } from '../../../../schemas/src/generated/plan.js';
import { modifierFacts } from '../../../../schemas/src/modifiers.js';
import { compileTarget } from '../../../../schemas/src/model/match-targets.js';
import { booleanOf, coerceTo, integerOf, numberOf, textOf, textsOf } from '../../recipe/coerce.js';
import { containersMatching } from '../container-modules.js';
import { matchesOf, modulesOf } from '../pattern-matches.js';
import type { RecipeModifier } from '../read-modifiers.js';
import { inModelOrder } from './model-order.js';

export interface ResolvedPruning {
  modifier: RecipeModifier;
  /** Its layers may be none; then a problem says so. */
  plan: PrunerPlan;
}

const stems = new Map(modifierFacts.flatMap(({ name, kind, stem }) => (kind === 'pruning' && stem !== null ? [[name, stem]] : [])));

export function resolvePruning(modifier: RecipeModifier, model: ModelDescription): ResolvedPruning {
  const { name: modifierName, path, body } = modifier;
  const common = { modifier: modifierName, recipe_path: [...path] };
  const mask_structure = maskStructure(body['mask_structure']);
  // n of m is the same share in every block.
  const owl =
    mask_structure === null && textOf(body['sparsity_profile'], '').toLowerCase() === 'owl'
      ? { m: numberOf(body['owl_m'], 5), lmbda: numberOf(body['owl_lmbda'], 0.08) }
      : null;
  switch (stems.get(modifierName)) {
    case 'sparsegpt':
      return {
        modifier,
        plan: {
          name: 'sparsegpt',
          ...common,
          layers: prunedLinears(modifier, model),
          mask_structure,
          block_size: integerOf(body['block_size'], 128),
          dampening_frac: numberOf(body['dampening_frac'], 0.01),
          preserve_sparsity_mask: booleanOf(body['preserve_sparsity_mask'], false),
          owl,
        },
      };
    case 'wanda':
      return { modifier, plan: { name: 'wanda', ...common, layers: prunedLinears(modifier, model), mask_structure, owl } };
    case 'magnitude':
      return {
        modifier,
        plan: { name: 'magnitude', ...common, layers: targetedMatrices(modifier, model, numberOf(body['final_sparsity'], 0)) },
      };
    default:
      return { modifier, plan: { name: 'constant', ...common, layers: targetedMatrices(modifier, model, 0) } };
  }
}

/** Modules that the targets of SparseGPT and Wanda name: layers, or what holds layers, each with its own place in a list of sparsities. */
export function pruningTargets({ body }: RecipeModifier, model: ModelDescription): string[] {
  const named = textsOf(body['targets'] ?? ['Linear']).flatMap((entry) => namesMatching(entry, model));
  return inModelOrder([...new Set(named)]);
}

/** Layers and what holds layers. */
export const namesMatching = (entry: string, model: ModelDescription): string[] =>
  [...matchesOf(entry, modulesOf(model)), ...containersMatching(entry, model)].map(({ name }) => name);

/** N:M sets N of every M neighbours to zero; 0:0, and N = 0 in general, is unstructured. */
export function maskStructure(said: unknown): { n: number; m: number } | null {
  const [n = 0, m = 0] = textOf(said, '0:0').split(':').map(Number);
  return Number.isInteger(n) && Number.isInteger(m) && n > 0 && m > 0 ? { n, m } : null;
}

function prunedLinears(modifier: RecipeModifier, model: ModelDescription): PrunedLayer[] {
  const { body } = modifier;
  const structure = maskStructure(body['mask_structure']);
  const shares: unknown[] | null = Array.isArray(body['sparsity']) ? body['sparsity'] : null;
  const shareOf = (target: number): number => (structure ? structure.n / structure.m : within(shares ? shares[target] : body['sparsity']));
  const linears = inModelOrder(
    modulesOf(model)
      .filter((module) => module.class === 'Linear')
      .map(({ name }) => name),
  );
  const found = new Map<string, number>();
  for (const [index, target] of pruningTargets(modifier, model).entries())
    for (const name of linears) {
      if (name !== target && !name.startsWith(`${target}.`)) continue;
      // llm-compressor joins the names of target and layer by a dot, also where the layer is the target.
      if (isIgnored(body['ignore'], name === target ? `${name}.` : name)) continue;
      found.set(name, shareOf(index));
    }
  return linears.flatMap((name) => (found.has(name) ? [{ name, sparsity: found.get(name) ?? 0 }] : []));
}

function isIgnored(ignore: unknown, name: string): boolean {
  return textsOf(ignore).some((entry) => {
    const compiled = compileTarget(entry);
    return 'matcher' in compiled && compiled.matcher({ name, class: 'Linear' });
  });
}

/** MagnitudePruningModifier and ConstantPruningModifier take layers themselves, and have no ignore. */
function targetedMatrices({ body }: RecipeModifier, model: ModelDescription, sparsity: number): PrunedLayer[] {
  const entries = textsOf(body['targets']).flatMap((entry) => (entry === '__ALL_PRUNABLE__' ? ['Linear'] : [entry]));
  const names = new Set(
    entries.flatMap((entry) =>
      matchesOf(entry, modulesOf(model))
        .filter((module) => module.class !== 'Other')
        .map(({ name }) => name),
    ),
  );
  return inModelOrder([...names]).map((name) => ({ name, sparsity: within(sparsity) }));
}

/** A share out of range has a problem of its own, and never comes into a plan. */
const within = (value: unknown): number => Math.min(1, Math.max(0, (coerceTo('number', value) as number | undefined) ?? 0));
