// Scales of a weight by the observer that its scheme names, with the keyword arguments that it carries.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { weightArgs } from '../tensor/grid-args.js';
import {
  effectiveScales,
  globalScale,
  summary,
  tensorGroupScales,
  weightScales,
  type WeightArgs,
  type WeightObserverArgs,
} from '../tensor/operations.js';
import type { Tensor } from '../tensor/tensor.js';
import type { QuantizerInput, WeightScales } from './quantizer.js';

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

/** The grid of a layer, as the native operations take it. */
export function layerArgs(layer: LayerPlan): WeightArgs {
  const args = weightArgs(layer.scheme?.weights);
  if (args === null) {
    const { type, num_bits, strategy } = layer.scheme?.weights ?? {};
    throw runFailure.planInvalid(
      `${layer.name} has weights of ${num_bits} bits of type ${type} per ${strategy}, which no quantizer of this version makes`,
    );
  }
  return args;
}

/** `permutation`: groups are formed along it (actorder group). */
export async function observeWeight({ layer, weight, fused }: QuantizerInput, permutation: Tensor | null): Promise<WeightScales> {
  const args = weightObserverArgs(layer);
  const [scale, zeroPoint] = weightScales(weight, permutation, args);
  if (args.strategy !== 'tensor_group') return { scale, zeroPoint, levels: null };
  using magnitudes = scale;
  let largest = await largestOf(magnitudes);
  for (const other of fused) largest = Math.max(largest, await largestAfterSearch(other, args));
  using number = weight.device.fromFloats([1], Float32Array.of(largest));
  const global = globalScale(number, weight.dtype);
  const levels = { scale: tensorGroupScales(magnitudes, global), global };
  return { scale: effectiveScales(levels.scale, global), zeroPoint, levels };
}

async function largestAfterSearch(weight: Tensor, args: WeightObserverArgs): Promise<number> {
  const [scale, unused] = weightScales(weight, null, args);
  unused.dispose();
  using magnitudes = scale;
  return largestOf(magnitudes);
}

async function largestOf(magnitudes: Tensor): Promise<number> {
  using numbers = summary(magnitudes);
  const [, , , , , , , largest = NaN] = await numbers.readDoubles();
  return largest;
}
