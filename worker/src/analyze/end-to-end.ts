// KL divergence and perplexity of the model with one weight replaced, against the model as it is: the rows wait before the block that is looked at, so
// that a candidate of block b costs the blocks from b on and the head, not the whole model.
import path from 'node:path';
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { ActivationCache, type ActivationBudget } from '../calibration/activation-cache.js';
import { embedRows, propagateBlock, type CalibrationRows } from '../calibration/calibrate-block.js';
import { loadTokenBatches, type TokenBatches } from '../calibration/token-batches.js';
import { compareHeads, TokenFigures } from '../evaluate/kl-divergence.js';
import { partLoader } from '../evaluate/model-pass.js';
import { predictedTokens } from '../evaluate/perplexity.js';
import { partOf } from '../memory/activation-budget.js';
import { openDecoder } from '../models/open-decoder.js';
import { reshape } from '../tensor/operations.js';
import type { Device, Tensor } from '../tensor/tensor.js';

export interface EndToEndFigures {
  mean_kld: number;
  perplexity: number;
  perplexityBefore: number;
  tokens: number;
}

export class EndToEnd implements Disposable {
  private constructor(
    private readonly model: ModelDescription,
    private readonly dataset: DatasetPlan,
    private readonly tokens: TokenBatches,
    private readonly decoder: ReturnType<typeof openDecoder>,
    private readonly device: Device,
    private readonly caches: { here: ActivationCache; last: ActivationCache; candidate: ActivationCache },
    private readonly throwIfCancelled: () => void,
  ) {}

  /** Runs the model once; `budget` is for hidden states, three of every row. */
  static async open(
    model: ModelDescription,
    dataset: DatasetPlan,
    device: Device,
    dir: string,
    budget: ActivationBudget,
    throwIfCancelled: () => void,
  ): Promise<EndToEnd> {
    const tokens = await loadTokenBatches(dataset, model, [device], { recipePath: ['evaluate'] });
    const cache = (name: string): ActivationCache => new ActivationCache(device, path.join(dir, name), partOf(budget, 3));
    const caches = { here: cache('here'), last: cache('last'), candidate: cache('candidate') };
    const endToEnd = new EndToEnd(
      model,
      dataset,
      tokens,
      openDecoder(model, device, tokens.longest, 'Analysis'),
      device,
      caches,
      throwIfCancelled,
    );
    try {
      const here = endToEnd.rows(caches.here);
      {
        using weights = await partLoader(device, model)((name) => here.model.embeddingTensors.includes(name));
        await embedRows(here, weights);
      }
      await endToEnd.passFrom(0, caches.last, null);
      return endToEnd;
    } catch (error) {
      endToEnd[Symbol.dispose]();
      throw error;
    }
  }

  /** The rows pass through a block as it is: the next candidates are of the block behind it. */
  async advance(block: number): Promise<void> {
    using weights = await this.loadBlock(block);
    await propagateBlock(this.rows(this.caches.here), block, weights);
  }

  /** The model with `What` in place of a weight; block null: the weight is the head's. */
  async measure(block: number | null, tensorName: string, What: Tensor): Promise<EndToEndFigures> {
    const replaced = { tensorName, What };
    if (block !== null) await this.passFrom(block, this.caches.candidate, replaced);
    const kept = new TokenFigures(predictedTokens(this.tokens, this.dataset));
    const quantized = this.rows(block === null ? this.caches.last : this.caches.candidate);
    const head = { original: this.model, quantized: this.model };
    await compareHeads(this.rows(this.caches.last), quantized, head, kept, block === null ? replaced : null);
    const { mean_kld, perplexity, perplexity_original } = kept.summary();
    return { mean_kld, perplexity, perplexityBefore: perplexity_original, tokens: kept.count };
  }

  private async passFrom(block: number, cache: ActivationCache, replaced: { tensorName: string; What: Tensor } | null): Promise<void> {
    for (const index of this.tokens.batches.keys()) await cache.put(index, this.caches.here.get(index), block);
    const rows = this.rows(cache);
    for (let at = block; at < rows.model.nBlocks; at += 1) {
      using weights = await this.loadBlock(at);
      if (replaced !== null && weights.has(replaced.tensorName))
        weights.replace(replaced.tensorName, reshape(replaced.What, replaced.What.shape));
      await propagateBlock(rows, at, weights);
    }
  }

  private loadBlock(block: number) {
    return partLoader(this.device, this.model)((name) => name.startsWith(`${this.model.architecture?.layers}.${block}.`));
  }

  private rows(cache: ActivationCache): CalibrationRows {
    return {
      model: this.decoder,
      batches: this.tokens.batches,
      cache,
      original: null,
      device: this.device,
      onBatch: () => this.throwIfCancelled(),
    };
  }

  [Symbol.dispose](): void {
    for (const cache of Object.values(this.caches)) cache[Symbol.dispose]();
    this.decoder[Symbol.dispose]();
    this.tokens[Symbol.dispose]();
  }
}
