// The diagonal of the empirical Fisher information of every weight, from one pass forwards and backwards (gradient-pass.ts).
//
//   F_ij = 1/N Σ_s (∂ L_s / ∂ W_ij)²     L_s the sum of −log p over the predicted tokens of row s, N the predicted tokens of all rows
//
// By token, not by row: the gradients of a row's tokens have expectation 0 given the tokens before, so that products of different ones vanish on average and
// the square of a row's sum is the sum of its tokens' squares. Half of Σ F_ij ΔW_ij² is then the second-order change of the loss in nats per token (Kunstner
// et al., arXiv 1905.12558, on what the empirical Fisher is and is not), comparable with the KL divergence of the whole model.
// Cost: about four times the multiply-adds of the forward pass; on disk two bytes for each weight until the analysis ends, and the inputs of the blocks.
import path from 'node:path';
import { hasGradient } from '../../../schemas/src/analysis-measures.js';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { makeFolder, writeDurably } from '../checkpoint/durable-file.js';
import { fisherError } from '../tensor/operations/metrics.js';
import { fisherAccumulate } from '../tensor/operations/observers.js';
import { cast, narrow } from '../tensor/operations/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import { passBackwards, countPredicted, type GradientPassInput, type LayerGradient } from './gradient-pass.js';

export class Fisher {
  /** Layers without it. */
  readonly without: readonly string[];
  /** Why no layer has it, for the reader of an analysis. */
  reason: string | null = null;
  private readonly files = new Map<string, string>();
  private readonly n_tokens: number;

  private constructor(private readonly input: GradientPassInput) {
    const { tokens, model, layers } = input;
    this.n_tokens = countPredicted(tokens);
    this.without = layers.filter((layer) => !hasGradient(model, layer)).map(({ name }) => name);
  }

  static async measure(input: GradientPassInput): Promise<Fisher> {
    const fisher = new Fisher(input);
    fisher.reason = await passBackwards(input, { of: (layer, weight) => fisher.sum(layer, weight) });
    if (fisher.reason !== null) fisher.files.clear();
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

  /** Sums the squared gradients of a layer, and writes them. */
  private sum(layer: LayerPlan, weight: Tensor): LayerGradient {
    const { layers, device, dir } = this.input;
    const F = device.zeros('F32', weight.shape);
    return {
      see(x, dy, documents) {
        for (const [begin, length] of documents) {
          using inputs = narrow(x, begin, length);
          using outputs = narrow(dy, begin, length);
          fisherAccumulate(F, outputs, inputs);
        }
      },
      finish: async () => {
        using stored = cast(F, 'BF16');
        await makeFolder(dir);
        const file = path.join(dir, `${layers.indexOf(layer)}.bf16`);
        await writeDurably(file, [await stored.read()], 'squared gradients');
        this.files.set(layer.name, file);
      },
      [Symbol.dispose]: () => F.dispose(),
    };
  }
}
