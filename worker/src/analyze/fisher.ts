// The diagonal of the empirical Fisher information of every weight: forward with the input of each block kept, then backward block by block, each computed
// again from its input, so that one block's weights, activations and sums are in memory at a time.
//
//   F_ij = 1/N Σ_s (∂ L_s / ∂ W_ij)²     L_s the sum of −log p over the predicted tokens of row s, N the predicted tokens of all rows
//
// By token, not by row: the gradients of a row's tokens have expectation 0 given the tokens before, so that products of different ones vanish on average and
// the square of a row's sum is the sum of its tokens' squares. Half of Σ F_ij ΔW_ij² is then the second-order change of the loss in nats per token (Kunstner
// et al., arXiv 1905.12558, on what the empirical Fisher is and is not), comparable with the KL divergence of the whole model.
// Cost: about four times the multiply-adds of the forward pass; on disk two bytes for each weight until the analysis ends, and the inputs of the blocks.
import path from 'node:path';
import { hasGradient } from '../../../schemas/src/analysis-measures.js';
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { ActivationCache, type ActivationBudget } from '../calibration/activation-cache.js';
import { embedRows, type CalibrationRows } from '../calibration/calibrate-block.js';
import type { TokenBatches } from '../calibration/token-batches.js';
import { makeFolder, writeDurably } from '../checkpoint/durable-file.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { nextTokens, partLoader } from '../evaluate/model-pass.js';
import { partOf } from '../memory/activation-budget.js';
import type { DecoderModel, TokenBatch } from '../models/model.js';
import { crossEntropyBackward } from '../tensor/operations/forward.js';
import { fisherError } from '../tensor/operations/metrics.js';
import { fisherAccumulate } from '../tensor/operations/observers.js';
import { cast, narrow } from '../tensor/operations/storage.js';
import { NoGradientError, Tape, type SeeLinear } from '../tensor/tape.js';
import type { Device, Tensor } from '../tensor/tensor.js';

export interface FisherInput {
  model: ModelDescription;
  layers: readonly LayerPlan[];
  tokens: TokenBatches;
  decoder: DecoderModel;
  device: Device;
  /** Files that stand as long as it is asked; the caller removes them. */
  dir: string;
  /** Of hidden states. */
  budget: ActivationBudget;
  onBatch(message: string): void;
}

export class Fisher {
  /** Layers without it. */
  readonly without: readonly string[];
  /** Why no layer has it, for the reader of an analysis. */
  reason: string | null = null;
  private readonly files = new Map<string, string>();
  private readonly n_tokens: number;

  private constructor(private readonly input: FisherInput) {
    const { tokens, model, layers } = input;
    this.n_tokens = tokens.nTokens - tokens.nDocuments;
    this.without = layers.filter((layer) => !hasGradient(model, layer)).map(({ name }) => name);
    if (this.n_tokens === 0) this.reason = 'no calibration row has two tokens, so that there is nothing to predict.';
  }

  static async measure(input: FisherInput): Promise<Fisher> {
    const fisher = new Fisher(input);
    if (fisher.reason !== null || fisher.without.length === input.layers.length) return fisher;
    const first = Math.min(...input.layers.flatMap((layer) => layer.block ?? (hasGradient(input.model, layer) ? Infinity : [])));
    try {
      await fisher.pass(Math.min(first, input.decoder.nBlocks));
    } catch (error) {
      if (!(error instanceof NoGradientError)) throw error;
      fisher.reason = `the model runs the operation ${error.operation}, which has no gradient.`;
      fisher.files.clear();
    }
    return fisher;
  }

  /** Half of Σ F ΔW² with `What` in place of the weight; null for a layer without F. */
  async loss(layer: LayerPlan, weight: Tensor, What: Tensor): Promise<number | null> {
    return (await this.sums(layer, weight, What))?.loss ?? null;
  }

  /** Σ F. */
  async trace(layer: LayerPlan, weight: Tensor): Promise<number | null> {
    return (await this.sums(layer, weight, weight))?.trace ?? null;
  }

  private async sums(layer: LayerPlan, weight: Tensor, What: Tensor): Promise<{ loss: number; trace: number } | null> {
    const file = this.files.get(layer.name);
    if (file === undefined) return null;
    using F = this.input.device.fromFile(file, 0, 'BF16', weight.shape);
    using found = fisherError(weight, What, F);
    const [error = NaN, trace = NaN] = await found.readDoubles();
    if (!Number.isFinite(error) || !Number.isFinite(trace))
      throw runFailure.lossNotFinite(this.input.model.dir, `the sum of squared gradients for ${layer.tensor} is ${trace}`);
    return { loss: error / (2 * this.n_tokens), trace: trace / this.n_tokens };
  }

  /** Down to block `first`: below it nothing is asked for. */
  private async pass(first: number): Promise<void> {
    const { model, decoder, tokens, device, dir, budget, onBatch } = this.input;
    const n_kept = decoder.nBlocks - first + 1;
    const cache = (name: string): ActivationCache => new ActivationCache(device, path.join(dir, name), partOf(budget, n_kept + 1));
    const inputs = Array.from({ length: n_kept }, (_, at) => cache(`inputs-${first + at}`));
    using gradients = cache('gradients');
    using _ = { [Symbol.dispose]: () => inputs.forEach((one) => one[Symbol.dispose]()) };
    const [start] = inputs;
    if (start === undefined) return;
    const load = (block: number): Promise<LoadedWeights> =>
      partLoader(device, model)((name) => name.startsWith(`${model.architecture?.layers}.${block}.`));
    const rows: CalibrationRows = {
      model: decoder,
      device,
      cache: start,
      original: null,
      batches: tokens.batches,
      onBatch: () => onBatch('gradients: embedding'),
    };
    {
      using weights = await partLoader(device, model)((name) => decoder.embeddingTensors.includes(name));
      await embedRows(rows, weights);
    }
    for (let block = 0; block < decoder.nBlocks; block += 1) {
      using weights = await load(block);
      const [from, to] = [inputs[block - first] ?? start, inputs[block + 1 - first] ?? start];
      for (const [index, batch] of tokens.batches.entries()) {
        using hidden = from.get(index);
        const passed = decoder.forwardBlock(block, hidden, batch, weights, null);
        to.stage(index, passed, block + 1);
        await device.sync();
        await to.commit(index);
        onBatch(`gradients: forward through block ${block}`);
      }
    }
    const last = inputs.at(-1) ?? start;
    await this.head(last, gradients);
    await last.clear();
    for (let block = decoder.nBlocks - 1; block >= first; block -= 1) {
      using weights = await load(block);
      const from = inputs[block - first] ?? start;
      await this.layersOf(
        (layer) => layer.block === block,
        weights,
        async (see) => {
          for (const [index, batch] of tokens.batches.entries()) {
            using hidden = from.get(index);
            using tape = new Tape(device);
            using output = tape.record(() => decoder.forwardBlock(block, hidden, batch, weights, null));
            const gradient = tape.backward(output, gradients.get(index), hidden, see(batch));
            gradients.stage(index, gradient, block);
            await device.sync();
            await gradients.commit(index);
            onBatch(`gradients: back through block ${block}`);
          }
        },
      );
      await from.clear();
    }
  }

  /** From the loss to the hidden states behind the last block, one document's logits at a time. */
  private head(hidden: ActivationCache, gradients: ActivationCache): Promise<void> {
    const { model, decoder, tokens, device, onBatch } = this.input;
    const head = (layer: LayerPlan): boolean => layer.block === null && hasGradient(model, layer);
    return this.withHead(async (weights) =>
      this.layersOf(head, weights, async (see) => {
        for (const [index, batch] of tokens.batches.entries()) {
          using all = hidden.get(index);
          using targets = device.fromInts([batch.nTokens], nextTokens(batch));
          const width = all.shape[1] ?? 0;
          const parts = new Float32Array(batch.nTokens * width);
          for (const [begin, length] of documentsOf(batch)) {
            using states = narrow(all, begin, length);
            using wanted = narrow(targets, begin, length);
            using tape = new Tape(device);
            using logits = tape.record(() => {
              using normed = decoder.finalNorm(states, weights);
              return decoder.logits(normed, weights, null);
            });
            using gradient = tape.backward(logits, crossEntropyBackward(logits, wanted), states, see(null));
            parts.set(await gradient.readFloats(), begin * width);
          }
          await gradients.put(index, device.fromFloats([batch.nTokens, width], parts), decoder.nBlocks);
          onBatch('gradients: head');
        }
      }),
    );
  }

  private async withHead(use: (weights: LoadedWeights) => Promise<void>): Promise<void> {
    const { model, decoder, device } = this.input;
    using weights = await partLoader(device, model)((name) => decoder.headTensors.includes(name));
    await use(weights);
  }

  /** Sums squared gradients of the weights of some layers while `work` goes backwards, and writes them. `see(null)`: the pass holds one document. */
  private async layersOf(
    isWanted: (layer: LayerPlan) => boolean,
    weights: LoadedWeights,
    work: (see: (batch: TokenBatch | null) => SeeLinear) => Promise<void>,
  ): Promise<void> {
    const { layers, device, dir } = this.input;
    const wanted = layers.filter(isWanted).map((layer) => ({ layer, weight: weights.tensor(layer.tensor), isSeen: false }));
    using sums = new Sums(wanted.map(({ weight }) => device.zeros('F32', weight.shape)));
    await work((batch) => (weight, x, dy) => {
      const at = wanted.findIndex((one) => one.weight === weight);
      const [one, F] = [wanted[at], sums.tensors[at]];
      if (one === undefined || F === undefined) return;
      one.isSeen = true;
      for (const [begin, length] of batch === null ? [[0, x.shape[0] ?? 0] as const] : documentsOf(batch)) {
        using inputs = narrow(x, begin, length);
        using outputs = narrow(dy, begin, length);
        fisherAccumulate(F, outputs, inputs);
      }
    });
    for (const [at, { layer, isSeen }] of wanted.entries()) {
      const F = sums.tensors[at];
      if (!isSeen || F === undefined) throw new Error(`The forward pass did not run ${layer.name} as a linear layer.`);
      using stored = cast(F, 'BF16');
      await makeFolder(dir);
      const file = path.join(dir, `${layers.indexOf(layer)}.bf16`);
      await writeDurably(file, [await stored.read()], 'squared gradients');
      this.files.set(layer.name, file);
    }
  }
}

class Sums implements Disposable {
  constructor(readonly tensors: readonly Tensor[]) {}

  [Symbol.dispose](): void {
    for (const tensor of this.tensors) tensor.dispose();
  }
}

/** First token and number of tokens of each document. */
function documentsOf({ offsets }: TokenBatch): [number, number][] {
  return offsets.slice(1).flatMap((end, at): [number, number][] => {
    const begin = offsets[at] ?? 0;
    return end > begin ? [[begin, end - begin]] : [];
  });
}
