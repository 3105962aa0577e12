// AWQ's search in one block: mean magnitudes of all mappings in one pass over the rows, then for each mapping a pass in which the parent of its
// balance layers runs with the weights of every point of the grid. Of a batch nothing is kept but the sums of its squared errors.
import type { AwqPlan, LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem, TransformMetrics } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { transforms } from '../algorithms.js';
import { observeBlock, observeModule, type CalibrationRows } from '../calibration/calibrate-block.js';
import type { TokenBatch, WeightSource } from '../models/model.js';
import type { DType } from '../native-core.js';
import { ChannelMeanObserver, mergeMeans } from '../observers/channel-mean.js';
import { pseudoQuantized } from '../quantizers/pseudo-quantize.js';
import { layerArgs } from '../quantizers/weight-observer.js';
import { copyTo } from '../tensor/copy-to.js';
import { summary } from '../tensor/operations/metrics.js';
import { squaredErrorAccumulate } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Magnitudes } from '../transforms/awq.js';
import type { MappingOf } from './layer-jobs.js';
import { searchOperations } from './operations-estimate.js';
import { applyScalesToAll, checkWidths, rangeOfScales, type BlockInput, type TransformFindings } from './scaled-mapping.js';

type AwqMapping = MappingOf<AwqPlan>;

export async function searchScales(input: BlockInput, mappings: readonly AwqMapping[]): Promise<TransformFindings> {
  const { block, rows, copies } = input;
  const observed = mappings.map((mapping) => ({ ...mapping, means: rows.devices.map((device) => new ChannelMeanObserver(device)) }));
  try {
    await rows.onEach((part, index) =>
      observeBlock(part, block, copies.on(index), (module, tensor, batch) => {
        for (const { mapping, means } of observed) if (module === mapping.observed) means[index]!.observe(tensor, batch);
      }),
    );
    const found: TransformFindings = { metrics: [], problems: [] };
    for (const { means, ...mapping } of observed) {
      const { metrics, problems } = await searchMapping(input, mapping, means);
      found.metrics.push(metrics);
      found.problems.push(...problems);
    }
    return found;
  } finally {
    for (const { means } of observed) for (const own of means) own[Symbol.dispose]();
  }
}

async function searchMapping(
  input: BlockInput,
  { plan, mapping }: AwqMapping,
  means: readonly ChannelMeanObserver[],
): Promise<{ metrics: TransformMetrics; problems: RunProblem[] }> {
  const { context, block, copies } = input;
  const weights = copies.first;
  const { awq } = transforms;
  const merged = await mergeMeans(means, context.device);
  if (merged === null)
    throw runFailure.planInvalid(`no calibration row reached ${mapping.observed}, by whose inputs ${plan.modifier} scales`);
  const { n_tokens } = merged;
  using xSum = merged.sums;
  const columns = xSum.shape[0] ?? 0;
  checkWidths(weights, mapping, columns);
  const sums = await xSum.readDoubles();
  const infinite = sums.findIndex((sum) => !Number.isFinite(sum));
  if (infinite >= 0)
    throw runFailure.activationNotFinite(mapping.observed, `the mean magnitude of its input channel ${infinite} is ${sums[infinite]}`);
  const quantized = context.plan.layers.filter(({ name, scheme }) => mapping.balance_layers.includes(name) && scheme?.weights);
  const withWeights = quantized.map((layer) => ({ layer, weight: weights.tensor(`${layer.name}.weight`), args: layerArgs(layer) }));
  using wSum = awq.weightSums(context.device, columns, withWeights);
  const n_rows = quantized.reduce((sum, { rows }) => sum + rows, 0);
  const magnitudes: Magnitudes = { xSum, n_tokens, wSum, n_rows };
  const grid = awq.gridOf(plan);
  const scales = grid.map((point) => awq.scalesOf(magnitudes, point));
  try {
    const ranges = await Promise.all(scales.map(rangeOfScales));
    const largest = await largestScale(withWeights.map(({ weight }) => weight));
    const isPossible = ranges.map(({ scale_max }) => scale_max <= largest);
    const losses = await lossesOf(input, { plan, mapping }, quantized, scales, isPossible);
    const best = awq.bestOf(losses);
    const s = best === null ? undefined : scales[best];
    const point = best === null ? undefined : grid[best];
    const range = best === null ? undefined : ranges[best];
    if (best === null || !s || !point || !range)
      throw runFailure.activationNotFinite(
        mapping.parent,
        `its output is not finite at any of the ${grid.length} points of the grid of ${plan.modifier}`,
      );
    await applyScalesToAll(mapping, s, input);
    const metrics: TransformMetrics = {
      name: plan.name,
      modifier: plan.modifier,
      block,
      smooth_layer: mapping.smooth_layer,
      balance_layers: [...mapping.balance_layers],
      parent: mapping.parent,
      ...point,
      ...range,
      scales: input.sidecar.floats(await s.readFloats()),
      loss_before: finiteOr(losses[0], null),
      loss_after: finiteOr(losses[best], null),
    };
    return { metrics, problems: problemsOf({ plan, mapping }, sums, n_tokens) };
  } finally {
    for (const s of scales) s.dispose();
  }
}

const finiteOr = (value: number | undefined, otherwise: null): number | null => (Number.isFinite(value) ? (value ?? null) : otherwise);

const largestOfType: Readonly<Partial<Record<DType, number>>> = { F16: 65504, BF16: 3.3895e38, F32: 3.4028e38 };

/** Beyond it a scaled weight may no longer fit its type. */
async function largestScale(weights: readonly Tensor[]): Promise<number> {
  let largest = Infinity;
  for (const weight of weights) {
    using numbers = summary(weight);
    const absmax = (await numbers.readDoubles())[7] ?? 0;
    largest = Math.min(largest, (largestOfType[weight.dtype] ?? 0) / absmax);
  }
  return largest;
}

/** Mean squared error of the parent's output for every point of the grid; infinite for one that is not possible. */
async function lossesOf(
  { context, block, rows, copies }: BlockInput,
  search: AwqMapping,
  quantized: readonly LayerPlan[],
  scales: readonly Tensor[],
  isPossible: readonly boolean[],
): Promise<number[]> {
  const operations = searchOperations(context.plan, search, rows.nTokens);
  const onBatch = (batch: TokenBatch): void => {
    context.throwIfCancelled();
    context.advance((operations * batch.nTokens) / rows.nTokens, `searching scales for ${search.mapping.smooth_layer}`);
  };
  const { parent } = search.mapping;
  const parts = await rows.onEach(
    (part, index) => errorsOf({ rows: part, block, weights: copies.on(index), parent, quantized }, scales, isPossible),
    onBatch,
  );
  const n_outputs = parts.reduce((sum, part) => sum + part.n_outputs, 0);
  return scales.map((_, index) => (isPossible[index] ? parts.reduce((sum, part) => sum + part.sums[index]!, 0) / n_outputs : Infinity));
}

interface SearchedPart {
  rows: CalibrationRows;
  block: number;
  weights: WeightSource;
  parent: string;
  quantized: readonly LayerPlan[];
}

/** Σ of squared errors of the parent's output over the rows of one device, for every point of the grid. */
async function errorsOf(
  { rows, block, weights, parent, quantized }: SearchedPart,
  scales: readonly Tensor[],
  isPossible: readonly boolean[],
): Promise<{ sums: number[]; n_outputs: number }> {
  const { model, device } = rows;
  const { awq } = transforms;
  const outputUnder = (s: Tensor, input: Tensor, batch: TokenBatch): Tensor => {
    const rounded = new Map<string, Tensor>();
    try {
      for (const layer of quantized) {
        const name = `${layer.name}.weight`;
        rounded.set(
          name,
          awq.roundedUnderScales(weights.tensor(name), s, (scaled) => pseudoQuantized(layer, scaled)),
        );
      }
      return model.forwardModule(parent, block, input, batch, overlaid(weights, rounded));
    } finally {
      for (const tensor of rounded.values()) tensor.dispose();
    }
  };
  const here: Tensor[] = [];
  const errors = scales.map(() => device.zeros('F64', [1]));
  let n_outputs = 0;
  try {
    for (const s of scales) here.push(await copyTo(s, device));
    await observeModule(rows, block, parent, weights, (input, batch) => {
      using expected = model.forwardModule(parent, block, input, batch, weights);
      n_outputs += expected.shape.reduce((product, extent) => product * extent, 1);
      for (const [index, s] of here.entries()) {
        if (!isPossible[index]) continue;
        using output = outputUnder(s, input, batch);
        squaredErrorAccumulate(errors[index]!, expected, output);
      }
    });
    const sums = await Promise.all(errors.map((error) => error.readDoubles()));
    return { sums: sums.map(([sum = NaN]) => sum), n_outputs };
  } finally {
    for (const tensor of [...here, ...errors]) tensor.dispose();
  }
}

/** The weights of a block with some of them replaced. */
const overlaid = (weights: WeightSource, replaced: ReadonlyMap<string, Tensor>): WeightSource => ({
  has: (name) => weights.has(name),
  tensor: (name) => replaced.get(name) ?? weights.tensor(name),
  linear: (module) => {
    const linear = weights.linear(module);
    return { ...linear, weight: replaced.get(`${module}.weight`) ?? linear.weight };
  },
});

/** The relative error of a mean over n tokens falls with the root of n: below this many it is above a tenth. */
const fewTokens = 100;

function problemsOf({ plan, mapping }: AwqMapping, sums: Float64Array, n_tokens: number): RunProblem[] {
  const problem = (code: string, severity: RunProblem['severity'], message: string): RunProblem => ({
    code,
    severity,
    message,
    layer: mapping.smooth_layer,
    recipe_path: plan.recipe_path,
  });
  const n_zero = sums.reduce((count, sum) => count + (sum === 0 ? 1 : 0), 0);
  const problems: RunProblem[] = [];
  if (n_zero === sums.length)
    problems.push(
      problem(
        'awq-inputs-zero',
        'warning',
        `All inputs of ${mapping.observed} are zero in every calibration row, so ${plan.modifier} has nothing to scale ${mapping.smooth_layer} by and leaves it as it is. Use more varied rows, or remove the mapping.`,
      ),
    );
  else if (n_zero > 0)
    problems.push(
      problem(
        'awq-dead-channels',
        'information',
        `${n_zero} of ${sums.length} input channels of ${mapping.observed} are zero in every calibration row; ${plan.modifier} gives them the smallest scale, so that their weights may be rounded to zero. More varied rows would keep them.`,
      ),
    );
  if (n_tokens < fewTokens)
    problems.push(
      problem(
        'awq-few-tokens',
        'warning',
        `The scales of ${mapping.smooth_layer} come from ${n_tokens} ${n_tokens === 1 ? 'token' : 'tokens'}: below ${fewTokens} the mean magnitude of a channel is off by a tenth and more, and the search fits these tokens alone. Use more calibration rows.`,
      ),
    );
  return problems;
}
