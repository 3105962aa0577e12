// One unit's layers: weights and statistics → the tensors of its shard, and the numbers of each layer.
import type { LayerPlan, QuantizerPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics, RunProblem } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { formats, quantizers } from '../algorithms.js';
import type { BlockStatistics } from '../calibration/block-statistics.js';
import { weightAsRead } from '../checkpoint/formats/floats.js';
import type { NamedTensor, QuantizedLayer } from '../checkpoint/formats/format.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { fusedWith } from '../quantizers/fused-linears.js';
import type { Quantizer } from '../quantizers/quantizer.js';
import { HessianFactors } from '../quantizers/shared-hessian.js';
import { layerArgs } from '../quantizers/weight-observer.js';
import { measureLayer } from '../report/layer-metrics.js';
import type { Sidecar } from '../report/sidecar.js';
import { gridArgs } from '../tensor/grid-args.js';
import { activationScale, globalScale, summary } from '../tensor/operations.js';
import type { Tensor } from '../tensor/tensor.js';

export interface QuantizeUnitInput {
  layers: readonly LayerPlan[];
  weights: LoadedWeights;
  /** Null without calibration. */
  statistics: BlockStatistics | null;
  sidecar: Sidecar;
  onLayer(layer: LayerPlan, metrics: LayerMetrics, problems: RunProblem[]): void;
}

/** Name under which a layer's weight is loaded: a tied head has the tensor of the embedding. */
export const loadedName = (layer: LayerPlan): string => layer.tensor;

/** Answers the new tensors; the caller disposes them. */
export async function quantizeUnit(input: QuantizeUnitInput): Promise<NamedTensor[]> {
  const tensors: NamedTensor[] = [];
  try {
    const shared = input.statistics?.sharedInputs() ?? [];
    const alone = input.layers.filter((layer) => !shared.some((modules) => modules.includes(layer.name))).map((layer) => [layer.name]);
    for (const modules of [...shared, ...alone]) tensors.push(...(await quantizeSharedInput(input, modules)));
    return tensors;
  } catch (error) {
    for (const { tensor } of tensors) tensor.dispose();
    throw error;
  }
}

async function quantizeSharedInput(input: QuantizeUnitInput, modules: readonly string[]): Promise<NamedTensor[]> {
  const layers = input.layers.filter((layer) => modules.includes(layer.name));
  const [first] = layers;
  const observed = first ? (input.statistics?.takeHessian(first.name) ?? null) : null;
  using hessian = observed && new HessianFactors(observed);
  if (first && observed) await checkHessian(first, observed);
  const tensors: NamedTensor[] = [];
  try {
    for (const layer of layers) tensors.push(...(await quantizeLayer(input, layer, hessian)));
    return tensors;
  } catch (error) {
    for (const { tensor } of tensors) tensor.dispose();
    throw error;
  }
}

async function quantizeLayer(input: QuantizeUnitInput, layer: LayerPlan, hessian: HessianFactors | null): Promise<NamedTensor[]> {
  const began = performance.now();
  const plan = layer.quantizer;
  const format = formats[layer.scheme?.format ?? ''];
  if (!plan || !format) throw runFailure.planInvalid(`${layer.name} has no quantizer or no format that this version knows`);
  const weight = input.weights.tensor(loadedName(layer));
  const { min, max } = await summarize(weight);
  const { findings, problems, ...chosen } = await quantizerOf(plan).quantize({
    layer,
    plan,
    weight,
    fused: fusedWeights(input, layer),
    hessian,
  });
  using q = chosen.q;
  using firstLevel = chosen.levels?.scale;
  using secondLevel = chosen.levels?.global;
  using scale = chosen.scale;
  using zeroPoint = chosen.zeroPoint;
  using gIdx = chosen.gIdx;
  const calibrated = await inputScale(input, layer, weight);
  using inputScaleTensor = calibrated?.scale;
  using inputZeroPoint = calibrated?.zeroPoint;
  const quantized: QuantizedLayer = {
    q,
    scale,
    zeroPoint,
    levels: firstLevel && secondLevel ? { scale: firstLevel, global: secondLevel } : null,
    gIdx,
    input: inputScaleTensor ? { scale: inputScaleTensor, zeroPoint: inputZeroPoint ?? null } : null,
  };
  const tensors = format.store(layer, quantized);
  try {
    const args = layerArgs(layer);
    using What = weightAsRead(quantized, args);
    await weight.device.sync();
    const seconds = (performance.now() - began) / 1000;
    const bytesAfter = tensors
      .filter(({ name }) => !/\.(weight_shape|input_\w+)$/.test(name))
      .reduce((sum, { tensor }) => sum + tensor.bytes, 0);
    const measured = {
      layer,
      args,
      W: weight,
      What,
      H: hessian?.hessian ?? null,
      scale,
      zeroPoint,
      gIdx,
      range: { min, max },
      bytesAfter,
      seconds,
      findings,
    };
    const metrics = await measureLayer(measured, input.sidecar);
    input.onLayer(layer, metrics, [...problems, ...inputProblems(layer)]);
    return tensors;
  } catch (error) {
    for (const { tensor } of tensors) tensor.dispose();
    throw error;
  }
}

/** The table has for each name the quantizer that takes its plan. */
const quantizerOf = (plan: QuantizerPlan): Quantizer => quantizers[plan.name] as Quantizer;

/** Weights that share a global scale with the layer's; those of other schemes have none. */
function fusedWeights({ layers, weights }: QuantizeUnitInput, layer: LayerPlan): Tensor[] {
  const alike = layers.filter(
    ({ scheme }) => scheme?.weights?.strategy === 'tensor_group' && layer.scheme?.weights?.strategy === 'tensor_group',
  );
  const names = fusedWith(
    layer.name,
    alike.map(({ name }) => name),
  );
  return alike.filter(({ name }) => names.includes(name)).map((other) => weights.tensor(loadedName(other)));
}

/** NaN or infinity in a weight ends the run before the weight is used. */
export async function checkFinite(
  layers: readonly LayerPlan[],
  weights: LoadedWeights,
  fileOf: (tensorName: string) => string,
): Promise<void> {
  const pending = layers.map((layer) => ({ name: loadedName(layer), numbers: summary(weights.tensor(loadedName(layer))) }));
  try {
    for (const { name, numbers } of pending) {
      const [, n_nan = 0, n_infinite = 0, , , , , , first = -1] = await numbers.readDoubles();
      if (n_nan + n_infinite > 0) throw runFailure.tensorNotFinite(name, fileOf(name), n_nan + n_infinite, first);
    }
  } finally {
    for (const { numbers } of pending) numbers.dispose();
  }
}

async function checkHessian(layer: LayerPlan, hessian: Tensor): Promise<void> {
  using numbers = summary(hessian);
  const [count = 0, n_nan = 0, n_infinite = 0] = await numbers.readDoubles();
  if (n_nan + n_infinite > 0)
    throw runFailure.activationNotFinite(layer.name, `${n_nan + n_infinite} of ${count} entries of its Hessian are NaN or infinite`);
}

async function summarize(weight: Tensor): Promise<{ min: number; max: number }> {
  using numbers = summary(weight);
  const [, , , min = 0, max = 0] = await numbers.readDoubles();
  return { min, max };
}

async function inputScale({ statistics }: QuantizeUnitInput, layer: LayerPlan, weight: Tensor): Promise<QuantizedLayer['input']> {
  const args = layer.scheme?.input_activations;
  if (!args || args.dynamic === true) return null;
  const range = await statistics?.staticRange(layer.name);
  if (!range) throw runFailure.planInvalid(`${layer.name} has static input activations and no calibration row reached it`);
  if (!range.every(Number.isFinite)) throw runFailure.activationNotFinite(layer.name, `its range is ${range[0]} to ${range[1]}`);
  if (args.dynamic === 'local') {
    using largest = weight.device.fromFloats([1], Float32Array.of(Math.max(-range[0], range[1], 0)));
    return { scale: globalScale(largest, weight.dtype), zeroPoint: null };
  }
  using tensor = weight.device.fromFloats([2], new Float32Array(range));
  const [scale, zeroPoint] = activationScale(tensor, { ...gridArgs(args), scale_dtype: weight.dtype });
  return { scale, zeroPoint };
}

function inputProblems(layer: LayerPlan): RunProblem[] {
  const args = layer.scheme?.input_activations;
  if (!args || args.dynamic === true || (args.observer ?? 'memoryless_minmax') !== 'memoryless_minmax') return [];
  return [
    {
      code: 'static-range-of-last-row',
      severity: 'warning',
      message: `The static input range of ${layer.name} is that of the last calibration row alone, because its observer is memoryless_minmax. Write observer: static_minmax to use all rows.`,
      layer: layer.name,
      recipe_path: layer.quantizer?.recipe_path ?? null,
    },
  ];
}
