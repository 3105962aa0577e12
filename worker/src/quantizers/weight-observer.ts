// Scales of a weight by the observer that its scheme names, with the keyword arguments that it carries.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { weightArgs, type WeightArgs } from '../tensor/grid-args.js';
import { rangeSearch, searchedObservers, type WeightObserverArgs } from '../tensor/search-args.js';
import { summary } from '../tensor/operations/metrics.js';
import {
  absmeanScales,
  effectiveScales,
  globalScale,
  searchScales,
  tensorGroupScales,
  weightScales,
} from '../tensor/operations/quantizers.js';
import type { Tensor } from '../tensor/tensor.js';
import type { QuantizerInput, WeightScales } from './quantizer.js';

/** All of them: weights are seen once and whole, so the running observers are their memoryless twins. */
export const weightObservers: readonly string[] = [...searchedObservers, 'absmean'];

export function weightObserverArgs(layer: LayerPlan): WeightObserverArgs {
  const args = layer.scheme?.weights;
  if (!args) throw runFailure.planInvalid(`${layer.name} has no scheme for its weights`);
  return { ...layerArgs(layer), ...rangeSearch(layer.name, args) };
}

/** Why every column weighs the same although the observer is imatrix_mse; null where it has what it needs, and for other observers. */
export async function missingImportance({ layer, hessian }: Pick<QuantizerInput, 'layer' | 'hessian'>): Promise<string | null> {
  const args = layer.scheme?.weights;
  if (args?.observer !== 'imatrix_mse') return null;
  // As in llm-compressor: a scale of a whole tensor or of a block has no one row of columns.
  if (args.strategy === 'tensor' || args.strategy === 'block')
    return `its strategy is ${args.strategy}, and importance is known for channel and group alone`;
  if (hessian === null) return 'no calibration row reached it';
  return (await hessian.dead.read()).every((flag) => flag === 1) ? 'all of its calibration inputs are zero' : null;
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
export async function observeWeight(input: QuantizerInput, permutation: Tensor | null): Promise<WeightScales> {
  const { layer, weight, fused } = input;
  if (layer.scheme?.weights?.observer === 'absmean') {
    const [scale, zeroPoint] = absmeanScales(weight, permutation, layerArgs(layer));
    return { scale, zeroPoint, levels: null };
  }
  const args = weightObserverArgs(layer);
  const missing = await missingImportance(input);
  if (missing !== null && layer.scheme?.weights?.observer_kwargs['strict'] === true)
    throw runFailure.planInvalid(`${layer.name} cannot be observed by imatrix_mse with strict: true: ${missing}`);
  const importance = args.observer === 'imatrix' && missing === null ? (input.hessian?.diagonal() ?? null) : null;
  const scalesOf = (matrix: Tensor, order: Tensor | null): [Tensor, Tensor] =>
    args.observer === 'imatrix' || (args.expand ?? 1) !== 1
      ? searchScales(matrix, order, importance, args)
      : weightScales(matrix, order, args);
  const [scale, zeroPoint] = scalesOf(weight, permutation);
  if (args.strategy !== 'tensor_group') return { scale, zeroPoint, levels: null };
  using magnitudes = scale;
  let largest = await largestOf(magnitudes);
  // Linears that are fused share their input, and so the importance of its columns.
  for (const other of fused) largest = Math.max(largest, await largestAfterSearch(scalesOf(other, null)));
  using number = weight.device.fromFloats([1], Float32Array.of(largest));
  const global = globalScale(number, weight.dtype);
  const levels = { scale: tensorGroupScales(magnitudes, global), global };
  return { scale: effectiveScales(levels.scale, global), zeroPoint, levels };
}

async function largestAfterSearch([scale, unused]: [Tensor, Tensor]): Promise<number> {
  unused.dispose();
  using magnitudes = scale;
  return largestOf(magnitudes);
}

async function largestOf(magnitudes: Tensor): Promise<number> {
  using numbers = summary(magnitudes);
  const [, , , , , , , largest = NaN] = await numbers.readDoubles();
  return largest;
}
