// Corrections of what quantizers have made: which quantized linears a modifier works on, and what stands against it there.
import type {
  BiasCorrectionPlan,
  LayerPlan,
  ModelDescription,
  QuantizationArgs,
  TransformPlan,
} from '../../../schemas/src/generated/plan.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import { integerOf, numberOf, textOf, textsOf } from '../recipe/coerce.js';
import { matchesOf, modulesOf } from './pattern-matches.js';
import type { RecipeModifier } from './read-modifiers.js';

export interface ResolvedCorrection {
  modifier: RecipeModifier;
  /** null where something stands against it. */
  plan: TransformPlan | null;
  problems: Problem[];
}

interface Fault {
  at?: RecipePath;
  message: string;
  fixes?: ProblemFix[];
}

/** In the order of the recipe; `layers` with their schemes. */
export function resolveCorrections(
  modifiers: readonly RecipeModifier[],
  model: ModelDescription,
  layers: readonly LayerPlan[],
): ResolvedCorrection[] {
  let rank = 0;
  return modifiers.map((modifier) => {
    const resolved = resolveCorrection(modifier, model, layers);
    const own = rankOf(resolved.plan);
    rank += own;
    if (own === 0 || rank === own || rank <= largestRank) return resolved;
    // All of them are one adapter folder, whose rank is the sum.
    const message = `with the adapters above the folder would have rank ${rank}, and vLLM loads ranks up to ${largestRank} (--max-lora-rank). Lower them so that their sum is ${largestRank} or less.`;
    return { modifier, plan: null, problems: [...resolved.problems, problemOf(modifier, { message })] };
  });
}

const rankOf = (plan: TransformPlan | null): number =>
  plan?.name === 'low-rank-residual' ? plan.rank : plan?.name === 'outlier-split' ? plan.max_columns : 0;

const problemOf = ({ name, path }: RecipeModifier, { at, message, fixes }: Fault): Problem => ({
  code: 'correction-cannot-apply',
  severity: 'error',
  path: at ?? path,
  at: at === undefined ? 'key' : 'value',
  message: `${name}: ${message}`,
  fixes: fixes ?? [],
});

function resolveCorrection(modifier: RecipeModifier, model: ModelDescription, layers: readonly LayerPlan[]): ResolvedCorrection {
  const corrected = correctedLayers(modifier, model, layers);
  const { plan, fault } = 'message' in corrected ? { plan: null, fault: corrected } : planOf(modifier, model, corrected, layers);
  return { modifier, plan: fault === null ? plan : null, problems: fault === null ? [] : [problemOf(modifier, fault)] };
}

function correctedLayers({ body, path }: RecipeModifier, model: ModelDescription, layers: readonly LayerPlan[]): LayerPlan[] | Fault {
  const targets = body['targets'] === undefined ? ['Linear'] : textsOf(body['targets']);
  const entries = [...targets, ...textsOf(body['ignore'])];
  for (const entry of entries) {
    const compiled = compileTarget(entry);
    if ('error' in compiled)
      return {
        at: [...path, targets.includes(entry) ? 'targets' : 'ignore'],
        message: `${entry} is no pattern: ${compiled.error}. Mend it, or give names.`,
      };
  }
  const modules = modulesOf(model);
  const named = (some: readonly string[]): Set<string> =>
    new Set(some.flatMap((entry) => matchesOf(entry, modules).map(({ name }) => name)));
  const [wanted, ignored] = [named(targets), named(textsOf(body['ignore']))];
  const found = layers.filter(({ name, kind, scheme }) => kind === 'Linear' && scheme?.weights && wanted.has(name) && !ignored.has(name));
  if (found.length > 0) return found;
  return {
    message: `it corrects quantized linears, and none that its targets name (${targets.join(', ')}) is quantized by this recipe. Give targets that a quantization modifier has too, or remove it.`,
  };
}

function planOf(
  modifier: RecipeModifier,
  model: ModelDescription,
  corrected: readonly LayerPlan[],
  layers: readonly LayerPlan[],
): { plan: TransformPlan | null; fault: Fault | null } {
  const base = { modifier: modifier.name, recipe_path: [...modifier.path], layers: corrected.map(({ name }) => name) };
  if (modifier.name === 'BiasCorrectionModifier') return biasPlan(modifier, model, corrected, layers, base);
  if (modifier.name === 'LowRankResidualModifier' || modifier.name === 'OutlierSplitModifier')
    return adapterPlan(modifier, corrected, base);
  const fault = whyNoGain(corrected);
  const statistic = textOf(modifier.body['statistic'], 'weights') === 'outputs' ? 'outputs' : 'weights';
  return { plan: { name: 'variance-correction', ...base, statistic }, fault };
}

/**
 * Where a linear of the Llama family may have a bias: LlamaForCausalLM of transformers and vLLM ask config.json. The others have theirs fixed (Qwen2: q, k, v; Mistral:
 * none), and of Qwen3 the two disagree on o_proj under attention_bias.
 */
const switchOf = ({ architecture_name }: ModelDescription, role: string): BiasCorrectionPlan['switches'][number] | null => {
  if (architecture_name !== 'LlamaForCausalLM') return null;
  if (/^[qkvo]_proj$/.test(role)) return 'attention_bias';
  return /^(gate|up|down)_proj$/.test(role) ? 'mlp_bias' : null;
};

function biasPlan(
  modifier: RecipeModifier,
  model: ModelDescription,
  corrected: readonly LayerPlan[],
  layers: readonly LayerPlan[],
  base: Pick<BiasCorrectionPlan, 'modifier' | 'recipe_path' | 'layers'>,
): { plan: BiasCorrectionPlan; fault: Fault | null } {
  const tensors = new Set(model.tensors.map(({ name }) => name));
  const hasBias = ({ name }: LayerPlan): boolean => tensors.has(`${name}.bias`);
  const inBlock = ({ block }: LayerPlan): boolean => block !== null;
  const without = corrected.filter((layer) => !hasBias(layer));
  const placeless = without.filter((layer) => !inBlock(layer) || switchOf(model, layer.role) === null);
  const switches = [...new Set(without.flatMap(({ role }) => switchOf(model, role) ?? []))];
  const added = layers.filter((layer) => {
    const by = inBlock(layer) ? switchOf(model, layer.role) : null;
    return by !== null && switches.includes(by) && !hasBias(layer);
  });
  const plan: BiasCorrectionPlan = { name: 'bias-correction', ...base, added: added.map(({ name }) => name), switches };
  return { plan, fault: placeless.length === 0 ? null : noPlace(modifier, model, corrected, placeless) };
}

function noPlace(
  { body, path }: RecipeModifier,
  { architecture_name }: ModelDescription,
  corrected: readonly LayerPlan[],
  placeless: readonly LayerPlan[],
): Fault {
  const roles = [...new Set(placeless.map(({ role }) => role))];
  const what = `${architecture_name ?? 'this model'} has no bias on ${roles.join(', ')}, and a runtime would not load one there`;
  const first = placeless[0]?.name ?? '';
  if (placeless.length === corrected.length)
    return { message: `${what} (${placeless.length} layers, ${first} the first): there is nothing that it could correct. Remove it.` };
  const ignore = [...textsOf(body['ignore']), `re:.*\\b(${roles.join('|')})$`];
  const text = JSON.stringify(ignore);
  return {
    message: `${what} (${placeless.length} of ${corrected.length} layers, ${first} the first). Add ${roles.length === 1 ? 'it' : 'them'} to ignore; the others are corrected.`,
    fixes: [
      {
        title: `Leave ${roles.join(', ')} out`,
        preferred: true,
        edits: [
          body['ignore'] === undefined
            ? { kind: 'insert-key', path, key: 'ignore', text }
            : { kind: 'replace-value', path: [...path, 'ignore'], text },
        ],
      },
    ],
  };
}

/** A factor for each row needs scales of rows that can take any value. */
function whyNoGain(corrected: readonly LayerPlan[]): Fault | null {
  for (const { name, scheme } of corrected) {
    const why =
      scheme?.format === 'bitsandbytes'
        ? 'the 8-bit magnitudes of bitsandbytes'
        : scheme?.format === 'vptq'
          ? 'centroids, which its rows share'
          : scheme?.weights && whyFixedScale(scheme.weights);
    if (why)
      return {
        message: `it multiplies the scales of every output channel by a factor of its own, and ${name} has ${why}. Use strategy channel or group with scales of 16 bits, or add such layers to ignore.`,
      };
  }
  return null;
}

function whyFixedScale({ type, strategy, scale_dtype }: QuantizationArgs): string | null {
  if (strategy !== 'channel' && strategy !== 'group') return `scales with strategy ${strategy}`;
  return type === 'float' && scale_dtype !== null ? `scales of type ${scale_dtype.replace('torch.', '')}` : null;
}

/** The largest of vLLM's MaxLoRARanks (vllm/config/lora.py). */
const largestRank = 512;

function adapterPlan(
  modifier: RecipeModifier,
  corrected: readonly LayerPlan[],
  base: Pick<BiasCorrectionPlan, 'modifier' | 'recipe_path' | 'layers'>,
): { plan: TransformPlan; fault: Fault | null } {
  const { body, path, name } = modifier;
  const field = name === 'OutlierSplitModifier' ? 'max_columns' : 'rank';
  const rank = integerOf(body[field], 16);
  const weighting = textOf(body['weighting'], 'hessian') === 'none' ? 'none' : 'hessian';
  const plan: TransformPlan =
    name === 'OutlierSplitModifier'
      ? { name: 'outlier-split', ...base, threshold: numberOf(body['threshold'], 6), max_columns: rank }
      : { name: 'low-rank-residual', ...base, rank, weighting };
  const outside = corrected.filter(({ block }) => block === null);
  if (rank > largestRank || rank < 1)
    return {
      plan,
      fault: {
        at: [...path, field],
        message: `the adapter would have rank ${rank}, and vLLM loads ranks from 1 to ${largestRank} (--max-lora-rank). Set ${field}: ${largestRank} or less; above 16 vLLM wants --max-lora-rank said.`,
      },
    };
  if (outside.length > 0)
    return {
      plan,
      fault: {
        message: `${outside.map((layer) => layer.name).join(', ')} lies outside of the decoder blocks, where adapters are not computed by this version. Add it to ignore.`,
      },
    };
  return { plan, fault: null };
}
