// A quantized layer → the tensors of its shard, and its numbers: what the file will say of it, measured on the device before it is written.
import type { LayerPlan, TransformPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics, RunProblem } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { formats } from '../algorithms.js';
import type { SpreadStatistics } from '../calibration/spread-statistics.js';
import { weightAsRead } from '../checkpoint/formats/floats.js';
import { weightBytes, type NamedTensor, type QuantizedLayer } from '../checkpoint/formats/format.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { layerProblem } from '../quantizers/layer-problem.js';
import type { QuantizedWeight, QuantizerInput } from '../quantizers/quantizer.js';
import { layerArgs, missingImportance } from '../quantizers/weight-observer.js';
import { storageText, type EncodedWeight } from '../quantizers/encoder.js';
import { measureEncoded, measureLayer } from '../report/layer-metrics.js';
import type { PrunedLayer } from './prune-layer.js';
import { pruningMetrics, sparsityProblems } from './sparsity.js';
import type { Sidecar } from '../report/sidecar.js';
import { gridArgs } from '../tensor/grid-args.js';
import { activationScale } from '../tensor/operations/observers.js';
import { globalScale } from '../tensor/operations/quantizers.js';
import type { Tensor } from '../tensor/tensor.js';
import { adapterOf } from './adapt-layer.js';
import type { LayerClip } from './clip-layer.js';
import { correctedBias, correctedScale } from './correct-layer.js';

export interface StoreLayerInput {
  /** Null without calibration. */
  statistics: SpreadStatistics | null;
  weights: LoadedWeights;
  /** Of the plan: corrections among them. */
  transforms: readonly TransformPlan[];
  sidecar: Sidecar;
  onLayer(layer: LayerPlan, metrics: LayerMetrics, problems: RunProblem[]): void;
  /** Gets the weight as a reader of the file has it, and the bias where that is new, for the time of the call. */
  onRead?: ((layer: LayerPlan, weight: Tensor, bias: Tensor | null) => Promise<void>) | null;
}

/** Takes what was chosen over; `secondsBefore` is the time that choosing took. */
export async function storeLayer(
  input: StoreLayerInput,
  { layer, weight, hessian }: QuantizerInput,
  clip: LayerClip,
  { findings, problems, ...chosen }: QuantizedWeight,
  secondsBefore: number,
  pruned: PrunedLayer | null = null,
): Promise<NamedTensor[]> {
  const began = performance.now();
  using q = chosen.q;
  using firstLevel = chosen.levels?.scale;
  using secondLevel = chosen.levels?.global;
  using found = chosen.scale;
  using zeroPoint = chosen.zeroPoint;
  using gIdx = chosen.gIdx;
  const args = layerArgs(layer);
  const asFound = { q, scale: found, zeroPoint, levels: null, gIdx, input: null };
  const kept = await correctedScale(input.transforms, layer, weight, () => weightAsRead(asFound, args), found, hessian?.hessian ?? null);
  using corrected = kept.scale;
  const scale = corrected ?? found;
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
  const format = formats[layer.scheme?.format ?? ''];
  if (!format) throw runFailure.planInvalid(`${layer.name} has no format that this version knows`);
  const tensors = format.store(layer, quantized);
  try {
    using What = weightAsRead(quantized, args);
    const adapter = await adapterOf(input.transforms, layer, weight, What, hessian?.hessian ?? null, input.statistics);
    tensors.push(...adapter.tensors);
    const bias = await correctedBias(input.transforms, layer, weight, What, input.weights, input.statistics);
    tensors.push(...bias.tensors);
    await input.onRead?.(layer, What, bias.tensors[0]?.tensor ?? null);
    await weight.device.sync();
    const seconds = secondsBefore + (performance.now() - began) / 1000;
    const measured = {
      layer,
      grid: { args, scale, zeroPoint, gIdx },
      W: weight,
      What,
      H: hessian?.hessian ?? null,
      bytesAfter: weightBytes(tensors),
      seconds,
      findings: findings ?? pruned?.findings ?? null,
      pruning: pruned && (await pruningMetrics(pruned.works, weight, What)),
    };
    const metrics = {
      ...(await measureLayer(measured, input.sidecar)),
      ...clip.metrics,
      ...kept.metrics,
      ...adapter.metrics,
      ...bias.metrics,
    };
    const missing = await missingImportance({ layer, hessian });
    const finding = (await input.statistics?.rangeFinding(layer.name)) ?? null;
    const corrections = [...clip.problems, ...kept.problems, ...adapter.problems, ...bias.problems];
    input.onLayer(layer, metrics, [
      ...(pruned?.problems ?? []),
      ...sparsityProblems(layer, pruned?.works ?? [], measured.pruning),
      ...problems,
      ...corrections,
      ...importanceProblems(layer, missing),
      ...inputProblems(layer, finding),
    ]);
    return tensors;
  } catch (error) {
    for (const { tensor } of tensors) tensor.dispose();
    throw error;
  }
}

/** The same for a method that made the bytes itself; takes `encoded` over. */
export async function storeEncoded(
  input: StoreLayerInput,
  { layer, weight, hessian }: QuantizerInput,
  encoded: EncodedWeight,
  secondsBefore: number,
): Promise<NamedTensor[]> {
  const began = performance.now();
  using What = encoded.read;
  const tensors = encoded.parts.map(({ suffix, tensor }) => ({ name: `${layer.name}${suffix}`, tensor }));
  const bytesAfter = tensors.reduce((sum, { tensor }) => sum + tensor.bytes, 0);
  try {
    const bias = await correctedBias(input.transforms, layer, weight, What, input.weights, input.statistics);
    tensors.push(...bias.tensors);
    await input.onRead?.(layer, What, bias.tensors[0]?.tensor ?? null);
    await weight.device.sync();
    const seconds = secondsBefore + (performance.now() - began) / 1000;
    const H = hessian?.hessian ?? null;
    const measured = { layer, W: weight, What, H, bytesAfter, seconds, findings: encoded.findings ?? null, pruning: null };
    const { importance } = encoded;
    const metrics = {
      ...(await measureEncoded(measured, encoded.grid, storageText(layer), input.sidecar)),
      ...bias.metrics,
      ...(importance && { importance: { ...importance, sums: input.sidecar.floats(importance.sums) } }),
    };
    input.onLayer(layer, metrics, [...encoded.problems, ...bias.problems]);
    return tensors;
  } catch (error) {
    for (const { tensor } of tensors) tensor.dispose();
    throw error;
  }
}

async function inputScale({ statistics }: StoreLayerInput, layer: LayerPlan, weight: Tensor): Promise<QuantizedLayer['input']> {
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

function importanceProblems(layer: LayerPlan, missing: string | null): RunProblem[] {
  if (missing === null) return [];
  const message = `The observer imatrix_mse of ${layer.name} weighs all columns alike: ${missing}. Use memoryless_mse there, or give it what it needs.`;
  return [layerProblem(layer, 'imatrix-without-importance', 'warning', message)];
}

/** What an average over rows could be had by, for the observers that keep the last row alone. */
const overAllRows: Readonly<Record<string, string>> = {
  memoryless_minmax: 'static_minmax',
  memoryless_mse: 'mse',
  nvfp4_expanded_mse: 'mse',
  imatrix_mse: 'mse',
};

function inputProblems(layer: LayerPlan, finding: string | null): RunProblem[] {
  if (finding !== null) return [layerProblem(layer, 'input-range-uncertain', 'warning', `The input range of ${layer.name}: ${finding}.`)];
  const args = layer.scheme?.input_activations;
  const observer = args?.observer ?? 'memoryless_minmax';
  const instead = overAllRows[observer];
  if (!args || args.dynamic === true || instead === undefined) return [];
  const message = `The static input range of ${layer.name} is that of the last calibration row alone, because its observer is ${observer}. Write observer: ${instead} to use all rows.`;
  return [layerProblem(layer, 'static-range-of-last-row', 'warning', message)];
}
