// The calibration rows forwards through the model with the input of each block kept, then backwards block by block, each computed again from its input, so
// that one block's weights and activations are in memory at a time. What is made of the gradients is the caller's: it sees, for every layer that it asks
// for, the inputs and the gradients of the outputs.
// Cost: about three times the multiply-adds of the forward pass; on disk the inputs of the blocks, as far as they have no room in memory.
import path from 'node:path';
import { hasGradient } from '../../../schemas/src/analysis-measures.js';
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { ActivationCache, type ActivationBudget } from '../calibration/activation-cache.js';
import { embedRows, type CalibrationRows } from '../calibration/calibrate-block.js';
import type { TokenBatches } from '../calibration/token-batches.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { nextTokens, partLoader } from '../evaluate/model-pass.js';
import { partOf } from '../memory/activation-budget.js';
import type { DecoderModel, TokenBatch } from '../models/model.js';
import { crossEntropyBackward } from '../tensor/operations/forward.js';
import { narrow } from '../tensor/operations/storage.js';
import { NoGradientError, Tape, type SeeLinear } from '../tensor/tape.js';
import type { Device, Tensor } from '../tensor/tensor.js';

export interface GradientPassInput {
  model: ModelDescription;
  layers: readonly LayerPlan[];
  tokens: TokenBatches;
  decoder: DecoderModel;
  device: Device;
  /** Files that stand as long as the caller lets them. */
  dir: string;
  /** Of hidden states. */
  budget: ActivationBudget;
  onBatch(message: string): void;
}

export interface GradientUse {
  /** The weights of a block, or the head, have been loaded, and may be replaced. */
  loaded?(weights: LoadedWeights, layers: readonly LayerPlan[]): Promise<void>;
  /** `weight` as `loaded` left it. Disposed when all rows have gone back through its block, or before that where something failed. */
  of(layer: LayerPlan, weight: Tensor): LayerGradient;
}

/** Of one layer. */
export interface LayerGradient extends Disposable {
  /** Of some tokens, for the loss that sums −log p over them: the gradient of the weight is dyᵀ x. `documents`: first token and number of tokens of each. */
  see(x: Tensor, dy: Tensor, documents: readonly (readonly [number, number])[]): void;
  /** All rows were seen. */
  finish(): Promise<void>;
}

export const countPredicted = ({ nTokens, nDocuments }: TokenBatches): number => nTokens - nDocuments;

/** Why there are no gradients, as the end of a sentence; null: all layers that can have one were seen. */
export async function passBackwards(input: GradientPassInput, use: GradientUse): Promise<string | null> {
  const layers = input.layers.filter((layer) => hasGradient(input.model, layer));
  if (countPredicted(input.tokens) === 0) return 'no calibration row has two tokens, so that there is nothing to predict.';
  if (layers.length === 0) return null;
  try {
    await new GradientPass({ ...input, layers }, use).run();
    return null;
  } catch (error) {
    if (!(error instanceof NoGradientError)) throw error;
    return `the model runs the operation ${error.operation}, which has no gradient.`;
  }
}

class GradientPass {
  constructor(
    private readonly input: GradientPassInput,
    private readonly use: GradientUse,
  ) {}

  /** Down to the first block that has one of the layers: below it nothing is asked for. */
  async run(): Promise<void> {
    const { decoder, tokens, device, dir, budget, layers, onBatch } = this.input;
    const first = Math.min(decoder.nBlocks, ...layers.map(({ block }) => block ?? Infinity));
    const n_kept = decoder.nBlocks - first + 1;
    const cache = (name: string): ActivationCache => new ActivationCache(device, path.join(dir, name), partOf(budget, n_kept + 1));
    const inputs = Array.from({ length: n_kept }, (_, at) => cache(`inputs-${first + at}`));
    using gradients = cache('gradients');
    using _ = { [Symbol.dispose]: () => inputs.forEach((one) => one[Symbol.dispose]()) };
    const [start] = inputs;
    if (start === undefined) return;
    const rows: CalibrationRows = {
      model: decoder,
      device,
      cache: start,
      original: null,
      batches: tokens.batches,
      onBatch: () => onBatch('gradients: embedding'),
    };
    {
      using weights = await partLoader(device, this.input.model)((name) => decoder.embeddingTensors.includes(name));
      await embedRows(rows, weights);
    }
    for (let block = 0; block < decoder.nBlocks; block += 1) {
      using weights = await this.load(block);
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
      using weights = await this.load(block);
      const from = inputs[block - first] ?? start;
      await this.seen(block, weights, async (see) => {
        for (const [index, batch] of tokens.batches.entries()) {
          using hidden = from.get(index);
          using tape = new Tape(device);
          using output = tape.record(() => decoder.forwardBlock(block, hidden, batch, weights, null));
          const gradient = tape.backward(output, gradients.get(index), hidden, see(documentsOf(batch)));
          gradients.stage(index, gradient, block);
          await device.sync();
          await gradients.commit(index);
          onBatch(`gradients: back through block ${block}`);
        }
      });
      await from.clear();
    }
  }

  /** From the loss to the hidden states behind the last block, one document's logits at a time. */
  private async head(hidden: ActivationCache, gradients: ActivationCache): Promise<void> {
    const { decoder, tokens, device, onBatch } = this.input;
    using weights = await this.load(null);
    await this.seen(null, weights, async (see) => {
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
          using gradient = tape.backward(logits, crossEntropyBackward(logits, wanted), states, see([[0, length]]));
          parts.set(await gradient.readFloats(), begin * width);
        }
        await gradients.put(index, device.fromFloats([batch.nTokens, width], parts), decoder.nBlocks);
        onBatch('gradients: head');
      }
    });
  }

  /** null: the head. */
  private async load(block: number | null): Promise<LoadedWeights> {
    const { model, decoder, device } = this.input;
    const prefix = `${model.architecture?.layers}.${block}.`;
    const weights = await partLoader(
      device,
      model,
    )((name) => (block === null ? decoder.headTensors.includes(name) : name.startsWith(prefix)));
    try {
      await this.use.loaded?.(weights, this.layersOf(block));
      return weights;
    } catch (error) {
      weights[Symbol.dispose]();
      throw error;
    }
  }

  private layersOf(block: number | null): LayerPlan[] {
    return this.input.layers.filter((layer) => layer.block === block);
  }

  /** Shows the layers of a block, or of the head, what goes backwards in `work`. */
  private async seen(
    block: number | null,
    weights: LoadedWeights,
    work: (see: (documents: [number, number][]) => SeeLinear) => Promise<void>,
  ): Promise<void> {
    const wanted: { layer: LayerPlan; weight: Tensor; gradient: LayerGradient; isSeen: boolean }[] = [];
    using _ = { [Symbol.dispose]: () => wanted.forEach(({ gradient }) => gradient[Symbol.dispose]()) };
    for (const layer of this.layersOf(block)) {
      const weight = weights.tensor(layer.tensor);
      wanted.push({ layer, weight, gradient: this.use.of(layer, weight), isSeen: false });
    }
    await work((documents) => (weight, x, dy) => {
      const one = wanted.find((other) => other.weight === weight);
      if (one === undefined) return;
      one.isSeen = true;
      one.gradient.see(x, dy, documents);
    });
    for (const { layer, gradient, isSeen } of wanted) {
      if (!isSeen) throw new Error(`The forward pass did not run ${layer.name} as a linear layer.`);
      await gradient.finish();
    }
  }
}

/** First token and number of tokens of each document. */
function documentsOf({ offsets }: TokenBatch): [number, number][] {
  return offsets.slice(1).flatMap((end, at): [number, number][] => {
    const begin = offsets[at] ?? 0;
    return end > begin ? [[begin, end - begin]] : [];
  });
}
