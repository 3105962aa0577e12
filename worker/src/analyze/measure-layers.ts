// The layers of an analysis, each alone: what is known of its weight and inputs, and what every candidate costs.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { CandidateSensitivity } from '../../../schemas/src/generated/sensitivity.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { BlockStatistics } from '../calibration/block-statistics.js';
import { observeBlock, observeHead, type CalibrationRows } from '../calibration/calibrate-block.js';
import type { NamedTensor } from '../checkpoint/formats/format.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import type { WorkUnit } from '../jobs/layer-jobs.js';
import type { ObservedBatch } from '../observers/observer.js';
import { fusedWith } from '../quantizers/fused-linears.js';
import { HessianFactors } from '../quantizers/shared-hessian.js';
import { schemeText } from '../report/layer-metrics.js';
import { summary } from '../tensor/operations/metrics.js';
import type { Tensor } from '../tensor/tensor.js';
import { analysisDir, type AnalysisInput } from './analysis-input.js';
import type { AnalysisJournal, LayerFacts } from './analysis-journal.js';
import { measureCandidate, withBits } from './candidate.js';
import type { EndToEnd } from './end-to-end.js';
import type { GradientMeasures } from './gradient-measures.js';
import { InputMoments } from './input-moments.js';
import { keepWeight } from './kept-weights.js';
import type { MissingCandidates } from './missing-candidates.js';

export interface MeasuredEndToEnd {
  model: EndToEnd;
  dataset: string;
}

export class LayerMeasures {
  /** Candidates that are measured or known. */
  done = 0;

  constructor(
    private readonly input: AnalysisInput,
    private readonly layers: readonly LayerPlan[],
    private readonly journal: AnalysisJournal,
    private readonly known: MissingCandidates,
    private readonly gradients: GradientMeasures,
  ) {}

  /** Of a unit: its layers that see the rows together. */
  async measure(
    unit: WorkUnit,
    missing: LayerPlan[],
    weights: LoadedWeights,
    rows: CalibrationRows | null,
    isHead: boolean,
    endToEnd: MeasuredEndToEnd | null,
  ): Promise<void> {
    const { device, bits } = this.input;
    using statistics = new BlockStatistics(device, missing);
    using moments = new InputMoments(device, new Set(missing.map(({ name }) => name)));
    const see = (module: string, input: Tensor, batch: ObservedBatch): void => {
      statistics.observe(module, input, batch);
      moments.observe(module, input, batch);
    };
    if (rows !== null && unit.block !== null) await observeBlock(rows, unit.block, weights, see);
    else if (rows !== null && isHead)
      await observeHead(rows, weights, (input, batch) => missing.forEach(({ name }) => see(name, input, batch)));
    const shared = statistics.sharedInputs();
    const alone = missing.filter(({ name }) => !shared.some((modules) => modules.includes(name))).map(({ name }) => [name]);
    for (const modules of [...shared, ...alone]) {
      const taken = modules[0] === undefined ? null : (statistics.hessian(modules[0])?.take() ?? null);
      using hessian = taken && new HessianFactors(taken);
      for (const layer of missing.filter(({ name }) => modules.includes(name))) {
        const weight = weights.tensor(layer.tensor);
        await this.journal.addLayer(await this.factsOf(layer, weight, moments));
        for (const bit of bits) await this.candidate(layer, bit, weight, hessian, unit.place === 'before' ? null : endToEnd);
      }
    }
  }

  private async factsOf(layer: LayerPlan, weight: Tensor, moments: InputMoments): Promise<LayerFacts> {
    using numbers = summary(weight);
    const [count = 1, n_nan = 0, n_infinite = 0, , , sum = 0, squares = 0, , first = -1] = await numbers.readDoubles();
    if (n_nan + n_infinite > 0) throw runFailure.tensorNotFinite(layer.tensor, this.input.plan.model.dir, n_nan + n_infinite, first);
    const names = this.layers.map(({ name }) => name);
    const siblings = new Set([layer.name, ...fusedWith(layer.name, names)]);
    const observed = await moments.of(layer.name);
    if (observed !== null && !observed.absmax.every(Number.isFinite))
      throw runFailure.activationNotFinite(layer.name, 'a channel of its input holds NaN or infinity');
    const trace = this.gradients.hasFisher
      ? await this.gradients.fisher?.trace(layer, weight)
      : this.journal.layers.get(layer.name)?.fisher_trace;
    return {
      name: layer.name,
      role: layer.role,
      block: layer.block,
      rows: layer.rows,
      columns: layer.columns,
      group: names.find((name) => siblings.has(name)) ?? layer.name,
      bytes_before: weight.bytes,
      weight_variance: Math.max(0, squares / count - (sum / count) ** 2),
      hessian_mean_diagonal: observed?.meanDiagonal ?? null,
      ...(trace !== undefined && { fisher_trace: trace }),
      activations: observed && {
        kurtosis: observed.kurtosis,
        max_over_median: observed.max_over_median,
        absmax: [...observed.absmax],
        importance: { ...observed.importance, sums: [...observed.importance.sums] },
      },
    };
  }

  private async candidate(
    layer: LayerPlan,
    num_bits: number,
    weight: Tensor,
    hessian: HessianFactors | null,
    endToEnd: MeasuredEndToEnd | null,
  ): Promise<void> {
    const { watch } = this.input;
    watch.throwIfCancelled();
    if (!(await this.known.isKnown(layer.name, num_bits, endToEnd !== null))) {
      const varied = withBits(layer, num_bits);
      const keep = async (stored: readonly NamedTensor[]): Promise<void> =>
        this.journal.addKept(await keepWeight(analysisDir(this.input.plan), this.layers.indexOf(layer), varied, stored));
      const { metrics, What } = await measureCandidate(varied, weight, hessian, this.input.keepWeights ? keep : null);
      using quantized = What;
      const known = this.journal.candidate(layer.name, num_bits, endToEnd !== null);
      const figures = known === null ? endToEnd && (await endToEnd.model.measure(layer.block, layer.tensor, quantized)) : null;
      const predicted = this.gradients.hasFisher ? await this.gradients.fisher?.loss(layer, weight, quantized) : known?.fisher_loss;
      if (endToEnd !== null && figures !== null)
        await this.journal.setEndToEnd({ dataset: endToEnd.dataset, tokens: figures.tokens, perplexity: figures.perplexityBefore });
      const candidate: CandidateSensitivity = {
        num_bits,
        scheme: schemeText(varied) ?? '',
        quantizer: layer.quantizer?.name ?? '',
        bytes: metrics.bytes_after,
        weight_mse: metrics.weight_mse,
        weight_sqnr_db: metrics.weight_sqnr_db,
        weight_cosine: metrics.weight_cosine,
        relative_output_error: metrics.relative_output_error,
        mean_kld: figures?.mean_kld ?? known?.mean_kld ?? null,
        perplexity_change: figures === null ? (known?.perplexity_change ?? null) : figures.perplexity - figures.perplexityBefore,
        ...(predicted !== undefined && { fisher_loss: predicted }),
      };
      await this.journal.addCandidate(layer.name, candidate);
    }
    this.passed(1, `${layer.name} with ${num_bits} bits`);
  }

  private passed(candidates: number, message: string): void {
    this.done += candidates;
    this.input.watch.onProgress(Math.min(1, this.done / (this.layers.length * this.input.bits.length)), message);
  }
}
