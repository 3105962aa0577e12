// Arguments of the native weight observers, from the names and keyword arguments that a scheme carries.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { WeightArgs, WeightObserverArgs } from '../tensor/operations.js';

/** Weights are seen once and whole, so the running observers are their memoryless twins. */
export const nativeObservers: Readonly<Record<string, WeightObserverArgs['observer']>> = {
  memoryless_minmax: 'minmax',
  static_minmax: 'minmax',
  minmax: 'minmax',
  memoryless_mse: 'mse',
  mse: 'mse',
};

/** Defaults of the shrink search in llm-compressor 0.13. */
const shrinkSearch = { maxshrink: 0.2, patience: 5, grid: 100, norm: 2.4 };

export function weightObserverArgs(layer: LayerPlan): WeightObserverArgs {
  const args = layer.scheme?.weights;
  const observer = nativeObservers[args?.observer ?? 'memoryless_minmax'];
  if (!args || observer === undefined)
    throw runFailure.planInvalid(`${layer.name} asks for the weight observer ${args?.observer}, which this version does not have`);
  const search = { ...shrinkSearch };
  for (const [key, value] of Object.entries(args.observer_kwargs)) {
    if (key in search && typeof value === 'number') search[key as keyof typeof search] = value;
    else if (observer === 'mse' && key !== 'chunk_size' && !(key === 'expand' && value === 1))
      throw runFailure.planInvalid(`${layer.name} gives its observer ${key}: ${value}, which this version does not have`);
  }
  return { ...layerArgs(layer), observer, ...search };
}

/** The shape of the grid of a layer, as the native operations take it. */
export function layerArgs(layer: LayerPlan): WeightArgs {
  const args = layer.scheme?.weights;
  if (!args || (args.strategy !== 'tensor' && args.strategy !== 'channel' && args.strategy !== 'group'))
    throw runFailure.planInvalid(`${layer.name} has weights per ${args?.strategy ?? 'nothing'}, which no quantizer of this version makes`);
  return { num_bits: args.num_bits, symmetric: args.symmetric, strategy: args.strategy, group_size: args.group_size ?? 0 };
}
