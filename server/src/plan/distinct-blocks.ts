// One block of each kind. What takes most memory is found among the blocks of a model, and those of a hundred, with hundreds of experts in each, are mostly alike.
import type { LayerPlan, TransformPlan } from '../../../schemas/src/generated/plan.js';
import { groupBy } from '../../../schemas/src/group-by.js';

/**
 * All layers outside of blocks, and of blocks whose layers have the same roles, shapes, schemes and quantizers in the same order those of the first.
 * Transforms name single layers, so with them every block is kept.
 */
export function layersOfDistinctBlocks(
  layers: readonly LayerPlan[],
  transforms: readonly TransformPlan[],
  pruned: ReadonlySet<string>,
): readonly LayerPlan[] {
  if (transforms.length > 0) return layers;
  const kindOf = (layer: LayerPlan): number => (pruned.size > 0 && pruned.has(layer.name) ? -1 : 1) * kindOfLayer(layer);
  const byBlock = [...groupBy(layers, ({ block }) => block)].sort(([a], [b]) => a - b);
  const distinct = groupBy(byBlock, ([, members]) => members.map(kindOf).join());
  const kept = new Set([...distinct.values()].flatMap(([first]) => first?.[0] ?? []));
  return layers.filter(({ block }) => block === null || kept.has(block));
}

/** A layer that a key press leaves as it was is the same object, and need not be looked at again. */
const kindsOfLayers = new WeakMap<LayerPlan, number>();
const numbersOfObjects = new WeakMap<object, number>();
const kinds = new Map<string, number>();
const mostKinds = 10_000;
let n_numbers = 0;

function kindOfLayer(layer: LayerPlan): number {
  const known = kindsOfLayers.get(layer);
  if (known !== undefined) return known;
  const { role, rows, columns, dtype, kind, scheme, quantizer } = layer;
  const key = [role, rows, columns, dtype, kind, numberOf(scheme), numberOf(quantizer)].join(' ');
  if (kinds.size >= mostKinds) kinds.clear();
  const number = kinds.get(key) ?? (n_numbers += 1);
  kinds.set(key, number);
  kindsOfLayers.set(layer, number);
  return number;
}

/** Objects that are the same have one number. */
function numberOf(of: object | null): number {
  if (of === null) return 0;
  const number = numbersOfObjects.get(of) ?? (n_numbers += 1);
  numbersOfObjects.set(of, number);
  return number;
}
