// Where did it break: the error of the written model on its way through the blocks, on a few rows, and what each linear adds to it.
//
//   h, h'    hidden states of the model before and of the written file; error behind a block: Σ (h' − h)² / Σ h²
//   y, y'    outputs of a linear in both; x, x' its inputs; W', b' as written, with an adapter where there is one; Q as the scheme quantizes inputs
//   weight        |(W' x + b') − (W x + b)|² / |y|²   own part: the weights alone, on the inputs of the model before
//   propagated    |W' x' − W' x|² / |y|²              what the layers before have handed on
//   activation    |W' Q(x') − W' x'|² / |y|²          own part: the rounding of the inputs
//   total         |y' − y|² / |y|²
//
// y' − y is the sum of the three differences, so that the shares add up to the total but for what they have in common. All are shares of squares, as the
// relative output error of a layer is.
//
// The model before is the one that the quantizers saw: rotated, and with the scales of the run's transforms applied again as they were, as these change the
// inputs and outputs of single layers and not the function of the model. The first token of a row is left out: in most models its hidden states are
// many times larger than all others (massive activations, Sun et al., arXiv 2402.17762), and sums would tell of it alone.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { ErrorDepth, LayerError, TransformMetrics } from '../../../schemas/src/generated/report.js';
import type { ActivationCache } from '../calibration/activation-cache.js';
import type { CalibrationRows } from '../calibration/calibrate-block.js';
import { SpreadRows } from '../calibration/spread-rows.js';
import { loadTokenBatches } from '../calibration/token-batches.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { activationBudget, partOf } from '../memory/activation-budget.js';
import type { MemoryGovernor } from '../memory/memory-governor.js';
import type { TokenBatch, WeightSource } from '../models/model.js';
import { openDecoder } from '../models/open-decoder.js';
import type { Sidecar } from '../report/sidecar.js';
import { narrow, reshape } from '../tensor/operations/storage.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import { applyScales } from '../transforms/apply-scales.js';
import { comparedRows } from './compared-rows.js';
import { partLoader, rowsAtATime, type EvaluationWatch } from './model-pass.js';
import { SeenInputs } from './seen-inputs.js';
import { SquaredErrors } from './squared-errors.js';

/** Four outputs of a linear are alive at a time. */
const batchTokens = 1024;

export interface DepthInput {
  /** Unquantized, rotated where the run rotates. */
  original: ModelDescription;
  written: ModelDescription;
  /** Those of the run whose arrays lie in `runDir`. */
  transforms: readonly TransformMetrics[];
  runDir: string;
  dataset: DatasetPlan;
  device: Device;
  governor: MemoryGovernor;
  availableBytes: number;
  watch: EvaluationWatch;
  /** Takes the pictures of the inputs. */
  sidecar: Sidecar;
}

export async function measureDepth(input: DepthInput): Promise<ErrorDepth> {
  const { original, dataset, device, governor, availableBytes, watch } = input;
  using tokens = await loadTokenBatches(dataset, original, [device], { batchTokens: Math.min(batchTokens, governor.batchTokens) });
  const dir = await mkdtemp(path.join(os.tmpdir(), 'bitwright-depth-'));
  try {
    using rows = new SpreadRows({
      tokens,
      devices: [device],
      model: original,
      purpose: 'The error through depth',
      dir,
      pairs: true,
      budgetOf: (on, n_used) => partOf(activationBudget(on, n_used, original, [], availableBytes, tokens.largest, 2), 2),
      onBatch: () => watch.throwIfCancelled(),
    });
    using _ = governor.hold({ tokens, rows });
    const pass = new DepthPass(input, rows);
    const blocks: ErrorDepth['blocks'] = [];
    const layers: LayerError[] = [];
    const { nBlocks } = rows.parts[0].model;
    for (let block = -1; block < nBlocks; block += 1) {
      watch.throwIfCancelled();
      const stage = block < 0 ? 'the embedding' : `the error through block ${block}`;
      const errors = await governor.survive({ stage }, () => (block < 0 ? pass.embed() : pass.block(block)));
      blocks.push({ block: block < 0 ? null : block, error: errors.hidden });
      layers.push(...errors.layers);
      watch.onProgress((block + 2) / (nBlocks + 1));
    }
    layers.push(...(await governor.survive({ stage: 'the error of the head', hasLogits: true }, () => pass.head())));
    const n_compared = tokens.nTokens - tokens.nDocuments;
    return { dataset: dataset.dataset, rows: tokens.nDocuments, tokens: n_compared, blocks, layers };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

interface PassedErrors {
  hidden: number | null;
  layers: LayerError[];
}

/** Both models side by side; a step keeps its hidden states when all of its batches are done, so that one that failed can be begun again. */
class DepthPass {
  private readonly loadOriginal;
  private readonly loadWritten;

  constructor(
    private readonly input: DepthInput,
    private readonly rows: SpreadRows,
  ) {
    this.loadOriginal = partLoader(input.device, input.original);
    this.loadWritten = partLoader(input.device, input.written);
  }

  private get part(): CalibrationRows & { original: ActivationCache } {
    const [part] = this.rows.parts;
    const { original } = part;
    if (original === null) throw new Error('The rows of the error through depth have no hidden states of the model before.');
    return { ...part, original };
  }

  async embed(): Promise<PassedErrors> {
    const { model } = this.part;
    const wanted = (name: string): boolean => model.embeddingTensors.includes(name);
    using before = await this.loadOriginal(wanted);
    using after = await this.loadWritten(wanted);
    using errors = new SquaredErrors();
    await this.step(0, errors, (batch) => [model.embed(batch, before), model.embed(batch, after)]);
    return { hidden: (await errors.shares()).of('hidden', 'hidden'), layers: [] };
  }

  async block(block: number): Promise<PassedErrors> {
    const { model } = this.part;
    const { layers } = this.input.original.architecture!;
    const wanted = (name: string): boolean => name.startsWith(`${layers}.${block}.`);
    using before = await this.loadOriginal(wanted);
    using after = await this.loadWritten(wanted);
    this.applyTransforms(block, before);
    const bare = withoutInputs(after);
    using errors = new SquaredErrors();
    using seen = new SeenInputs(this.input.device);
    const { quantization } = this.input.written;
    const modules = new Set<string>();
    await this.step(block + 1, errors, (batch, [h, hidden]) => {
      const inputs = new Map<string, Tensor>();
      try {
        const next = model.forwardBlock(block, h, batch, before, (module, x) => inputs.set(module, reshape(x, x.shape)));
        const nextHidden = model.forwardBlock(block, hidden, batch, after, (module, x) => {
          modules.add(module);
          if (quantization?.layers[module]) seen.observe(module, inputs.get(module)!, x, after.linear(module).quantizeInput);
          const output = (input: Tensor, weights: WeightSource): Tensor => model.forwardModule(module, block, input, batch, weights);
          compareOutputs(module, { x: inputs.get(module)!, xHat: x, output, before, after, bare, errors, offsets: batch.offsets });
        });
        return [next, nextHidden];
      } finally {
        for (const tensor of inputs.values()) tensor.dispose();
      }
    });
    const shares = await errors.shares();
    const layerErrors: LayerError[] = [];
    for (const name of modules) {
      const inputs = await seen.picture(name, this.input.sidecar);
      layerErrors.push({ ...layerError(name, block, shares), ...(inputs === null ? {} : { inputs }) });
    }
    return { hidden: shares.of('hidden', 'hidden'), layers: layerErrors };
  }

  /** Only where the head is quantized: else its error is that of the hidden states. */
  async head(): Promise<LayerError[]> {
    const { written, device, governor } = this.input;
    const { model, batches, original, cache } = this.part;
    const head = written.architecture?.lm_head ?? '';
    if (!written.quantization?.layers[head]) return [];
    const longest = batches.reduce((most, { nTokens }) => Math.max(most, nTokens), 1);
    // A head that was tied is so no longer when it is quantized.
    using ownModel = openDecoder(written, device, longest, 'The error of the head');
    using before = await this.loadOriginal((name) => model.headTensors.includes(name));
    using after = await this.loadWritten((name) => ownModel.headTensors.includes(name));
    const bare = withoutInputs(after);
    using errors = new SquaredErrors();
    const n_rows = rowsAtATime(written.architecture?.vocab_size ?? 1, governor.logitsAtATime / 4);
    for (const [index, { offsets }] of batches.entries()) {
      using h = original.get(index);
      using hidden = cache.get(index);
      using x = model.finalNorm(h, before);
      using xHat = ownModel.finalNorm(hidden, after);
      for (const [begin, end] of comparedRows(offsets))
        for (let at = begin; at < end; at += n_rows) {
          const n = Math.min(n_rows, end - at);
          using part = narrow(x, at, n);
          using partHat = narrow(xHat, at, n);
          const output = (input: Tensor, weights: WeightSource): Tensor =>
            (weights === before ? model : ownModel).logits(input, weights, null);
          compareOutputs(head, { x: part, xHat: partHat, output, before, after, bare, errors, offsets: null });
          await device.sync();
        }
    }
    return [layerError(head, null, await errors.shares())];
  }

  /** `work` answers the hidden states behind the step, of the model before and of the written one. */
  private async step(
    passed: number,
    errors: SquaredErrors,
    work: (batch: TokenBatch, hidden: [Tensor, Tensor]) => [Tensor, Tensor],
  ): Promise<void> {
    const { batches, original, cache, device, onBatch } = this.part;
    for (const [index, batch] of batches.entries()) {
      const inputs = passed === 0 ? [] : [original.get(index), cache.get(index)];
      try {
        const [next, nextHidden] = work(batch, inputs as [Tensor, Tensor]);
        errors.add('hidden', 'hidden', next, nextHidden, batch.offsets);
        original.stage(index, next, passed);
        cache.stage(index, nextHidden, passed);
      } finally {
        for (const tensor of inputs) tensor.dispose();
      }
      await device.sync();
      onBatch(batch);
    }
    for (const index of batches.keys()) {
      await original.commit(index);
      await cache.commit(index);
    }
  }

  private applyTransforms(block: number, weights: LoadedWeights): void {
    const { transforms, runDir, device } = this.input;
    for (const { block: own, scales, smooth_layer, balance_layers } of transforms) {
      if (own !== block || scales === undefined) continue;
      using s = device.fromFile(path.join(runDir, scales.file), scales.offset, 'F32', scales.shape);
      applyScales({ smooth_layer, balance_layers }, s, weights);
    }
  }
}

interface ComparedOutputs {
  x: Tensor;
  xHat: Tensor;
  output: (input: Tensor, weights: WeightSource) => Tensor;
  before: WeightSource;
  after: WeightSource;
  /** `after` with its inputs as they are. */
  bare: WeightSource;
  errors: SquaredErrors;
  /** null: every row counts. */
  offsets: readonly number[] | null;
}

function compareOutputs(module: string, { x, xHat, output, before, after, bare, errors, offsets }: ComparedOutputs): void {
  using y = output(x, before);
  using ofWeights = output(x, bare);
  errors.add(module, 'weight', y, ofWeights, offsets);
  using unrounded = output(xHat, bare);
  errors.add(module, 'propagated', ofWeights, unrounded, offsets);
  if (after.linear(module).quantizeInput === null) return errors.add(module, 'total', y, unrounded, offsets);
  using yHat = output(xHat, after);
  errors.add(module, 'activation', unrounded, yHat, offsets);
  errors.add(module, 'total', y, yHat, offsets);
}

/** Shares of the squared output of the model before, which `weight` and `total` are compared with. */
function layerError(name: string, block: number | null, shares: Awaited<ReturnType<SquaredErrors['shares']>>): LayerError {
  const of = (part: string): number | null => shares.of(name, part, 'total');
  return { name, block, weight: of('weight'), activation: of('activation'), propagated: of('propagated'), total: of('total') };
}

const withoutInputs = (weights: WeightSource): WeightSource => ({
  has: (name) => weights.has(name),
  tensor: (name) => weights.tensor(name),
  linear: (module) => ({ ...weights.linear(module), quantizeInput: null }),
});
