// KL divergence and perplexity of the model with one weight replaced, against the model as it is: the rows wait before the block that is looked at, so
// that a candidate of block b costs the blocks from b on and the head, not the whole model.
import path from 'node:path';
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { ActivationCache, type ActivationBudget } from '../calibration/activation-cache.js';
import { embedRows, propagateBlock, type CalibrationRows } from '../calibration/calibrate-block.js';
import { loadTokenBatches, type TokenBatches } from '../calibration/token-batches.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { compareHeads, TokenFigures } from '../evaluate/kl-divergence.js';
import { partLoader } from '../evaluate/model-pass.js';
import { predictedTokens } from '../evaluate/perplexity.js';
import { partOf } from '../memory/activation-budget.js';
import type { MemoryGovernor } from '../memory/memory-governor.js';
import type { DecoderModel } from '../models/model.js';
import { openDecoder } from '../models/open-decoder.js';
import { reshape } from '../tensor/operations/storage.js';
import type { Device, Tensor } from '../tensor/tensor.js';

export interface EndToEndFigures {
  mean_kld: number;
  perplexity: number;
  perplexityBefore: number;
  tokens: number;
}

interface ReplacedWeight {
  tensorName: string;
  What: Tensor;
}

export class EndToEnd implements Disposable {
  private readonly held: readonly Disposable[];

  private constructor(
    private readonly model: ModelDescription,
    private readonly dataset: DatasetPlan,
    private readonly tokens: TokenBatches,
    private readonly decoder: DecoderModel & Disposable,
    private readonly device: Device,
    private readonly caches: { here: ActivationCache; last: ActivationCache; candidate: ActivationCache },
    private readonly throwIfCancelled: () => void,
    private readonly governor: MemoryGovernor,
  ) {
    this.held = Object.values(caches).map((cache) => governor.hold({ tokens, rows: { parts: [{ ...this.rows(cache) }] } }));
  }

  /** Runs the model once; `budget` is for hidden states, three of every row. */
  static async open(
    model: ModelDescription,
    dataset: DatasetPlan,
    device: Device,
    dir: string,
    budget: ActivationBudget,
    throwIfCancelled: () => void,
    governor: MemoryGovernor,
  ): Promise<EndToEnd> {
    const tokens = await loadTokenBatches(dataset, model, [device], { recipePath: ['evaluate'], batchTokens: governor.batchTokens });
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
      governor,
    );
    try {
      await endToEnd.survive('the model as it is', async () => {
        await endToEnd.embed(model, endToEnd.rows(caches.here));
        await endToEnd.passBlocks(model, 0, await endToEnd.begin(caches.last, 0), null);
      });
      return endToEnd;
    } catch (error) {
      endToEnd[Symbol.dispose]();
      throw error;
    }
  }

  /** The rows pass through a block as it is: the next candidates are of the block behind it. */
  async advance(block: number): Promise<void> {
    await this.survive(`block ${block} of the model as it is`, async () => {
      using weights = await this.loadBlock(this.model, block);
      await propagateBlock(this.rows(this.caches.here), block, weights);
    });
  }

  private survive<T>(stage: string, attempt: () => Promise<T>, hasLogits = false): Promise<T> {
    return this.governor.survive({ stage, tokens: this.tokens, hasLogits }, attempt);
  }

  /** The model with `What` in place of a weight; block null: the weight is the head's. */
  async measure(block: number | null, tensorName: string, What: Tensor): Promise<EndToEndFigures> {
    const replaced = { tensorName, What };
    if (block === null) return await this.compare(this.rows(this.caches.last), this.model, replaced);
    const rows = await this.survive(`the model with another ${tensorName}`, async () => {
      const candidate = await this.begin(this.caches.candidate, block);
      await this.passBlocks(this.model, block, candidate, replaced);
      return candidate;
    });
    return await this.compare(rows, this.model, null);
  }

  /** Another model of the same shape, as a whole. */
  async measureModel(model: ModelDescription): Promise<EndToEndFigures> {
    using decoder = openDecoder(model, this.device, this.tokens.longest, 'Analysis');
    const rows = this.rows(this.caches.candidate, decoder);
    await this.survive('the model with other weights', async () => {
      await this.caches.candidate.clear();
      await this.embed(model, rows);
      await this.passBlocks(model, 0, rows, null);
    });
    return await this.compare(rows, model, null);
  }

  private async compare(rows: CalibrationRows, quantized: ModelDescription, replaced: ReplacedWeight | null): Promise<EndToEndFigures> {
    const models = { original: this.model, quantized };
    const attempt = async (): Promise<TokenFigures> => {
      const figures = new TokenFigures(predictedTokens(this.tokens, this.dataset));
      await compareHeads(this.rows(this.caches.last), rows, models, figures, replaced, this.governor.logitsAtATime);
      return figures;
    };
    const kept = await this.survive('both heads', attempt, true);
    const { mean_kld, perplexity, perplexity_original } = kept.summary();
    return { mean_kld, perplexity, perplexityBefore: perplexity_original, tokens: kept.count };
  }

  private async embed(model: ModelDescription, rows: CalibrationRows): Promise<void> {
    using weights = await partLoader(this.device, model)((name) => rows.model.embeddingTensors.includes(name));
    await embedRows(rows, weights);
  }

  /** Hidden states that wait at `here`, for rows of their own. */
  private async begin(cache: ActivationCache, block: number): Promise<CalibrationRows> {
    for (const index of this.tokens.batches.keys()) await cache.put(index, this.caches.here.get(index), block);
    return this.rows(cache);
  }

  private async passBlocks(model: ModelDescription, first: number, rows: CalibrationRows, replaced: ReplacedWeight | null): Promise<void> {
    for (let block = first; block < rows.model.nBlocks; block += 1) {
      using weights = await this.loadBlock(model, block);
      if (replaced !== null && weights.has(replaced.tensorName))
        weights.replace(replaced.tensorName, reshape(replaced.What, replaced.What.shape));
      await propagateBlock(rows, block, weights);
    }
  }

  private loadBlock(model: ModelDescription, block: number): Promise<LoadedWeights> {
    return partLoader(this.device, model)((name) => name.startsWith(`${model.architecture?.layers}.${block}.`));
  }

  private rows(cache: ActivationCache, decoder: DecoderModel = this.decoder): CalibrationRows {
    const { tokens } = this;
    return {
      model: decoder,
      // Others after a lack of memory.
      get batches() {
        return tokens.batches;
      },
      cache,
      original: null,
      device: this.device,
      onBatch: () => this.throwIfCancelled(),
    };
  }

  [Symbol.dispose](): void {
    for (const held of this.held) held[Symbol.dispose]();
    for (const cache of Object.values(this.caches)) cache[Symbol.dispose]();
    this.decoder[Symbol.dispose]();
    this.tokens[Symbol.dispose]();
  }
}
