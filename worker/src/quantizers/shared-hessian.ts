// The Hessian of a group of linears with one input: ordered and factored once, whoever asks.
import { hessianDiagonal } from '../tensor/operations/observers.js';
import { deadColumns, gptqFactor, hessianOrder, inverseFactor } from '../tensor/operations/quantizers.js';
import type { Tensor } from '../tensor/tensor.js';
import type { FactorFindings, HessianFactor, SeenRows, SharedHessian } from './quantizer.js';

class Factored implements HessianFactor, Disposable {
  private inverted: Tensor | null = null;

  constructor(
    readonly factor: Tensor,
    readonly findings: FactorFindings,
  ) {}

  inverse(): Tensor {
    this.inverted ??= inverseFactor(this.factor);
    return this.inverted;
  }

  [Symbol.dispose](): void {
    this.inverted?.dispose();
    this.factor.dispose();
  }
}

/** Takes the Hessian over, and the product with the other inputs, and frees them with the rest. */
export class HessianFactors implements SharedHessian, Disposable {
  readonly dead: Tensor;
  private permutation: Tensor | null = null;
  private importance: Tensor | null = null;
  private readonly factors = new Map<string, Factored>();

  constructor(
    readonly hessian: Tensor,
    readonly cross: Tensor | null = null,
    /** Left out: two rows of a token, so that H is Σ xᵀx itself. */
    readonly seen: SeenRows = { rows: 2, tokens: 2 },
  ) {
    this.dead = deadColumns(hessian);
  }

  diagonal(): Tensor {
    this.importance ??= hessianDiagonal(this.hessian);
    return this.importance;
  }

  order(): Tensor {
    this.permutation ??= hessianOrder(this.hessian);
    return this.permutation;
  }

  async factor(order: 'original' | 'descending', dampening_frac: number): Promise<Factored> {
    const key = `${order} ${dampening_frac}`;
    const known = this.factors.get(key);
    if (known !== undefined) return known;
    const [factor, info] = gptqFactor(this.hessian, order === 'descending' ? this.order() : null, { dampening_frac });
    using numbers = info;
    try {
      const [used = NaN, dead = NaN, retries = NaN] = await numbers.readDoubles();
      const factored = new Factored(factor, { dampening_frac: used, dead_columns: dead, retries });
      this.factors.set(key, factored);
      return factored;
    } catch (error) {
      factor.dispose();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const factored of this.factors.values()) factored[Symbol.dispose]();
    this.permutation?.dispose();
    this.importance?.dispose();
    this.dead.dispose();
    this.hessian.dispose();
    this.cross?.dispose();
  }
}
