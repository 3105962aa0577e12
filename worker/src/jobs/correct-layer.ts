// Corrections of one quantized layer, in a fixed order whatever the recipe's: scales before biases, which take back what is left.
import type { LayerPlan, QuantizationPlan, TransformPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics, RunProblem } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { transforms } from '../algorithms.js';
import type { SpreadStatistics } from '../calibration/spread-statistics.js';
import type { NamedTensor } from '../checkpoint/formats/format.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { cast } from '../tensor/operations/storage.js';
import type { Tensor } from '../tensor/tensor.js';

/** What a correction adds to the numbers of a layer. */
export type CorrectionMetrics = Pick<LayerMetrics, 'variance_gain' | 'bias_shift'>;

const problem = (code: string, severity: RunProblem['severity'], message: string, layer: LayerPlan, by: TransformPlan): RunProblem => ({
  code,
  severity,
  message,
  layer: layer.name,
  recipe_path: by.recipe_path,
});

export interface CorrectedScale {
  /** The caller's; null where the scale stays. */
  scale: Tensor | null;
  metrics: CorrectionMetrics;
  problems: RunProblem[];
}

/** `dequantized`: the weight under the scale as it is, the caller's. */
export async function correctedScale(
  plans: readonly TransformPlan[],
  layer: LayerPlan,
  W: Tensor,
  dequantized: () => Tensor,
  scale: Tensor,
  hessian: Tensor | null,
): Promise<CorrectedScale> {
  const plan = plans.filter((one) => one.name === 'variance-correction').findLast(({ layers }) => layers.includes(layer.name));
  if (plan === undefined) return { scale: null, metrics: {}, problems: [] };
  const { modifier, statistic } = plan;
  if (statistic === 'outputs' && hessian === null) {
    const message = `${modifier} leaves the scales of ${layer.name} as they are: no calibration row reached it, so the variance of its outputs is not known. Use more varied rows, or statistic: weights.`;
    return { scale: null, metrics: {}, problems: [problem('variance-without-inputs', 'warning', message, layer, plan)] };
  }
  using What = dequantized();
  const { varianceKept } = transforms['variance-correction'];
  const { n_kept, ...kept } = await varianceKept(W, What, scale, statistic === 'outputs' ? hessian : null);
  const message = `${n_kept} of ${layer.rows} channels of ${layer.name} have ${statistic} that are all zero, before or after quantization: ${modifier} leaves their scales as they are.`;
  return {
    scale: kept.scale,
    metrics: { variance_gain: { min: kept.min, max: kept.max } },
    problems: n_kept === 0 ? [] : [problem('variance-rows-zero', 'information', message, layer, plan)],
  };
}

export interface CorrectedBias {
  tensors: NamedTensor[];
  metrics: CorrectionMetrics;
  problems: RunProblem[];
}

/** The relative error of a mean over n tokens falls with the root of n: below this many it is above a tenth. */
const fewTokens = 100;

/** `What`: the weight that a reader of the file computes. */
export async function correctedBias(
  plans: readonly TransformPlan[],
  layer: LayerPlan,
  W: Tensor,
  What: Tensor,
  weights: LoadedWeights,
  statistics: SpreadStatistics | null,
): Promise<CorrectedBias> {
  const plan = plans.filter((one) => one.name === 'bias-correction').findLast(({ layers }) => layers.includes(layer.name));
  if (plan === undefined) return { tensors: [], metrics: {}, problems: [] };
  const means = (await statistics?.inputMeans(layer.name)) ?? null;
  if (means === null) {
    const message = `${plan.modifier} leaves the bias of ${layer.name} as it is: no calibration row reached it. Use more varied rows, or add it to ignore.`;
    return { tensors: [], metrics: {}, problems: [problem('bias-correction-without-inputs', 'warning', message, layer, plan)] };
  }
  const odd = means.quantized.findIndex((mean, column) => !Number.isFinite(mean) || !Number.isFinite(means.input[column]));
  if (odd >= 0) throw runFailure.activationNotFinite(layer.name, `the mean of its input channel ${odd} is ${means.input[odd]}`);
  const name = `${layer.name}.bias`;
  const old = weights.has(name) ? weights.tensor(name) : null;
  const { bias: single, rms, largest } = await transforms['bias-correction'].correctedBias(W, What, means, old);
  using bias = single;
  const rounded = cast(bias, old?.dtype ?? W.dtype);
  const overflow = (await rounded.readFloats()).findIndex((value) => !Number.isFinite(value));
  if (overflow >= 0) {
    const { dtype } = rounded;
    rounded.dispose();
    throw runFailure.activationNotFinite(layer.name, `its corrected bias of channel ${overflow} does not fit ${dtype}`);
  }
  const message = `The bias of ${layer.name} is corrected by means over ${means.n_tokens} ${means.n_tokens === 1 ? 'token' : 'tokens'}: below ${fewTokens} a mean is off by a tenth and more, and the correction may move the output further away. Use more calibration rows.`;
  return {
    tensors: [{ name, tensor: rounded }],
    metrics: { bias_shift: { rms, largest } },
    problems: means.n_tokens < fewTokens ? [problem('bias-correction-few-tokens', 'warning', message, layer, plan)] : [],
  };
}

/** Linears of a block that have no bias in the model and get one. */
export function layersWithNewBias({ transforms: plans, layers }: QuantizationPlan, block: number | null): LayerPlan[] {
  const added = new Set(plans.flatMap((plan) => (plan.name === 'bias-correction' ? plan.added : [])));
  return block === null || added.size === 0 ? [] : layers.filter((layer) => layer.block === block && added.has(layer.name));
}

/** Those that share a switch of config.json with a corrected one get zeros; the caller's. */
export function zeroBiases(layers: readonly LayerPlan[], written: readonly NamedTensor[], weights: LoadedWeights): NamedTensor[] {
  const there = new Set(written.map(({ name }) => name));
  return layers
    .filter((layer) => !there.has(`${layer.name}.bias`))
    .map((layer) => {
      const { device, dtype } = weights.tensor(layer.tensor);
      using zeros = device.zeros('F32', [layer.rows]);
      return { name: `${layer.name}.bias`, tensor: cast(zeros, dtype) };
    });
}
