// The transforms of one block, in the order of the recipe: statistics from a pass over the rows, then the weights change, mapping by mapping.
import type { SmoothQuantPlan } from '../../../schemas/src/generated/plan.js';
import type { TransformMetrics } from '../../../schemas/src/generated/report.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { transforms } from '../algorithms.js';
import { observeBlock } from '../calibration/calibrate-block.js';
import type { SpreadRows } from '../calibration/spread-rows.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import type { WeightCopies } from '../checkpoint/weight-copies.js';
import { ChannelRangeObserver, mergeRanges } from '../observers/channel-range.js';
import type { Sidecar } from '../report/sidecar.js';
import type { RunContext } from '../run-context.js';
import { linear } from '../tensor/operations/forward.js';
import type { Tensor } from '../tensor/tensor.js';
import { transformPasses, type MappingOf, type WorkUnit } from './layer-jobs.js';
import { searchScales } from './search-scales.js';
import { applyScalesToAll, checkWidths, rangeOfScales, type BlockInput, type TransformFindings } from './scaled-mapping.js';

export interface TransformUnitInput {
  context: RunContext;
  unit: WorkUnit;
  rows: SpreadRows | null;
  copies: WeightCopies;
  /** Keeps the scales. */
  sidecar: Sidecar;
}

export async function transformUnit({ context, unit, rows, copies, sidecar }: TransformUnitInput): Promise<TransformFindings> {
  const { block } = unit;
  if (rows === null || block === null) throw runFailure.planInvalid('a transform needs calibration rows');
  const found: TransformFindings = { metrics: [], problems: [] };
  for (const pass of transformPasses(unit)) {
    const input = { context, block, rows, copies, sidecar };
    const { metrics, problems } =
      pass.name === 'awq' ? await searchScales(input, pass.mappings) : { metrics: await smooth(input, pass.mappings), problems: [] };
    found.metrics.push(...metrics);
    found.problems.push(...problems);
  }
  for (const device of rows.devices) await device.sync();
  return found;
}

/** SmoothQuant: ranges of all mappings in one pass. */
async function smooth(input: BlockInput, mappings: readonly MappingOf<SmoothQuantPlan>[]): Promise<TransformMetrics[]> {
  const { context, block, rows, copies, sidecar } = input;
  const observed = mappings.map(({ plan, mapping }) => ({
    plan,
    mapping,
    // The output of a norm is the input of what it feeds; the output of a linear is computed from its input.
    isLinear: context.plan.model.modules[mapping.smooth_layer] === 'Linear',
    ranges: rows.devices.map((device) => new ChannelRangeObserver(device, plan.num_calibration_steps)),
  }));
  try {
    await rows.onEach((part, index) => {
      const weights = copies.on(index);
      return observeBlock(part, block, weights, (module, tensor, batch) => {
        for (const { mapping, isLinear, ranges } of observed) {
          const own = ranges[index]!;
          if (!isLinear && module === mapping.balance_layers[0]) own.observe(tensor, batch);
          if (isLinear && module === mapping.smooth_layer) observeOutput(weights, module, tensor, (output) => own.observe(output, batch));
        }
      });
    });
    const metrics: TransformMetrics[] = [];
    for (const { plan, mapping, ranges } of observed) {
      using taken = await mergeRanges(ranges, context.device);
      if (taken === null)
        throw runFailure.planInvalid(`no calibration row reached ${mapping.smooth_layer}, which ${plan.modifier} is to smooth`);
      checkWidths(copies.first, mapping, taken.shape[1] ?? 0);
      using s = transforms.smoothquant(plan, mapping, taken, copies.first);
      await applyScalesToAll(mapping, s, input);
      metrics.push({
        name: plan.name,
        modifier: plan.modifier,
        block,
        smooth_layer: mapping.smooth_layer,
        balance_layers: [...mapping.balance_layers],
        parent: null,
        ratio: plan.smoothing_strength,
        duo_scaling: null,
        ...(await rangeOfScales(s)),
        scales: sidecar.floats(await s.readFloats()),
        loss_before: null,
        loss_after: null,
      });
    }
    return metrics;
  } finally {
    for (const { ranges } of observed) for (const own of ranges) own[Symbol.dispose]();
  }
}

function observeOutput(weights: LoadedWeights, module: string, input: Tensor, see: (output: Tensor) => void): void {
  const { weight, bias } = weights.linear(module);
  using output = linear(input, weight, bias);
  see(output);
}
