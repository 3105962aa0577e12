// Which scheme and quantizer each layer of the model gets: ignore wins, groups by compressed-tensors' order, a later modifier over an earlier one.
import type {
  ArchitectureFacts,
  LayerPlan,
  ModelDescription,
  QuantizationScheme,
  QuantizerPlan,
} from '../../../schemas/src/generated/plan.js';
import { groupBy } from '../../../schemas/src/group-by.js';
import { targetRank } from '../../../schemas/src/model/match-targets.js';
import { madeOnce } from '../../../schemas/src/made-once.js';
import { textsOf } from '../recipe/coerce.js';
import type { SchemeGroup } from './expand-scheme.js';
import { matchesOf, modulesOf } from './pattern-matches.js';
import type { ModelModule } from './pattern-matches.js';
import { quantizerPlan } from './quantizers/all-quantizers.js';
import type { RecipeModifier } from './read-modifiers.js';

export interface ModifierGroups {
  modifier: RecipeModifier;
  groups: readonly SchemeGroup[];
}

/** What an entry of a group's targets gives to the modules that it matches. */
interface Claim {
  target: string;
  /** Exact names win over patterns, patterns over classes; then the text decides. */
  rank: number;
  result: Pick<LayerPlan, 'scheme' | 'quantizer'>;
  schemeOf: SchemeGroup['schemeOf'];
}

/**
 * Every module that has a matrix, in the order of the modules. A layer whose scheme and quantizer are those of the last call is the same object again:
 * a key press changes few of tens of thousands.
 */
export function assignLayers(model: ModelDescription, quantization: readonly ModifierGroups[]): LayerPlan[] {
  const claims = quantization.map((resolved) => claimsOf(resolved, modulesOf(model))).reverse();
  const { indices, last } = modelLayers(model);
  return indices.map((index, at) => {
    const claim = claims.find((ofModifier) => ofModifier[index] !== undefined)?.[index];
    const before = last[at] as LayerPlan;
    const { scheme, quantizer } = claim === undefined ? unassigned : resultOf(claim, before, model);
    if (before.scheme === scheme && before.quantizer === quantizer) return before;
    return (last[at] = { ...before, scheme, quantizer });
  });
}

const unassigned: Claim['result'] = { scheme: null, quantizer: null };

function resultOf({ result, schemeOf }: Claim, layer: LayerPlan, model: ModelDescription): Claim['result'] {
  if (schemeOf === undefined) return result;
  const scheme = schemeOf(layer, model);
  return { scheme, quantizer: scheme.weights ? result.quantizer : null };
}

/** Layers that have one scheme, in the order of the layers. Each group's scheme is an object of its own, so equal schemes of two groups stay apart. Made once for all checks. */
export const layersByScheme = madeOnce((layers: readonly LayerPlan[]): ReadonlyMap<QuantizationScheme, readonly LayerPlan[]> =>
  groupBy(layers, ({ scheme }) => scheme),
);

interface ModelLayers {
  /** Of the modules that have a matrix. */
  indices: readonly number[];
  /** What the model says of each, with what was assigned to it last. */
  last: LayerPlan[];
}

/** The rows of such an embedding are no tokens, and no head shares it. */
const isOfPlaces = (name: string): boolean => /(^|\.)wpe$|position|token_type/.test(name);

/** Made once for a model. */
const modelLayers = madeOnce((model: ModelDescription): ModelLayers => {
  const modules = modulesOf(model);
  const tensors = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const embedding =
    model.architecture?.embed_tokens ?? modules.find(({ name, class: of }) => of === 'Embedding' && !isOfPlaces(name))?.name ?? null;
  const indices: number[] = [];
  const layers: ModelLayers = { indices, last: [] };
  for (const module of modules) {
    const own = tensors.get(`${module.name}.weight`);
    const tied = own === undefined && module.name === 'lm_head' ? embedding : null;
    const tensor = own ?? (tied === null ? undefined : tensors.get(`${tied}.weight`));
    if (tensor === undefined || tensor.shape.length !== 2) continue;
    indices.push(module.index);
    layers.last.push({
      name: module.name,
      tensor: tensor.name,
      kind: module.class,
      rows: tensor.shape[0] ?? 0,
      columns: tensor.shape[1] ?? 0,
      dtype: tensor.dtype,
      block: blockOf(module.name, model.architecture),
      role: module.name.slice(module.name.lastIndexOf('.') + 1),
      scheme: null,
      quantizer: null,
      tied_to: tied,
    });
  }
  return layers;
});

/** By the index of the module. Only Linear and Embedding modules can be quantized; other classes are skipped, as in llm-compressor. */
function claimsOf({ modifier, groups }: ModifierGroups, modules: readonly ModelModule[]): readonly (Claim | undefined)[] {
  const ignored = new Set(textsOf(modifier.body['ignore']).flatMap((entry) => matchesOf(entry, modules)));
  const best = new Array<Claim | undefined>(modules.length);
  const quantizer = shared(quantizerPlan(modifier));
  for (const { scheme, targets, schemeOf } of groups) {
    const result = { scheme, quantizer: scheme?.weights ? quantizer : null };
    for (const target of targets) {
      // One for each rank: an entry may be a name and a class at once.
      const claims: Claim[] = [];
      for (const module of matchesOf(target, modules)) {
        if (module.class === 'Other' || ignored.has(module)) continue;
        const rank = targetRank(target, module);
        const claim = (claims[rank] ??= { target, rank, result, schemeOf });
        const known = best[module.index];
        if (known === undefined || rank < known.rank || (rank === known.rank && target <= known.target)) best[module.index] = claim;
      }
    }
  }
  return best;
}

const quantizers = new Map<string, QuantizerPlan>();

/** One object for all that say the same, so that layers can be compared by it. */
function shared(quantizer: QuantizerPlan): QuantizerPlan {
  const text = JSON.stringify(quantizer);
  const known = quantizers.get(text) ?? quantizer;
  if (quantizers.size >= mostKept) quantizers.clear();
  quantizers.set(text, known);
  return known;
}

const mostKept = 1000;

function blockOf(name: string, architecture: ArchitectureFacts | null): number | null {
  const match =
    architecture === null
      ? /\.(?:layers|h|layer|blocks)\.(\d+)\./.exec(`.${name}`)
      : name.startsWith(`${architecture.layers}.`)
        ? /^(\d+)\./.exec(name.slice(architecture.layers.length + 1))
        : null;
  return match === null ? null : Number(match[1]);
}
