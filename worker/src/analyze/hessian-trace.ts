// The trace of the Hessian H of the loss for the weight of every layer, by Hutchinson's estimator (Communications in Statistics 19, 1990): with signs v that are
// independent and as often 1 as −1, E[v_lᵀ H_ll v_l] = tr(H_ll) of layer l. HAWQ-V2 (Dong et al., arXiv 1911.03852) takes it for the sensitivity of a layer.
//
//   v_lᵀ (H d)_l / s_l ≈ ⟨v_l, g_l(W + d) − g_l(W − d)⟩ / 2 s_l,     d = s_m v_m in every layer m,     g the gradient of the summed −log p
//
// All layers move at once, so that two passes serve all of them: the terms v_lᵀ H_lm v_m between layers have expectation 0, as signs of different layers are
// independent. What that costs is variance: by probe 2 Σ_{i≠j} (H_ll)_ij² as if the layer moved alone, and Σ_m (s_m / s_l)² ‖H_lm‖² for the others.
// The step is s = 2^-10 of the root mean square of the weights. Gradients are rounded to about u = 2^-24 of their size, so that a central difference errs by
// u / s + (s / c)², least near s = (u c²)^⅓, with c what the weights move by when the gradient becomes another: 2^-8 where that is their own size. All layers
// move at once and c is less: against torch in F64 the products of five small models were off by 1.4 % at worst with 2^-8, 0.1 % with 2^-10 and 0.4 % with
// 2^-12 (root mean squares over the layers). The moved weight is F32, so that rounding it changes s by 2^-14 of itself.
//
// Of a gradient only ⟨v, dyᵀ x⟩ = Σ_t dy_t · (v x_t) is wanted: a linear, whose products with dy are summed in double; nothing of the size of a weight is kept
// beside v. Cost of a probe: two passes, each about four times the multiply-adds of the forward pass.
import { createHash } from 'node:crypto';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { HessianTrace } from '../../../schemas/src/generated/sensitivity.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { linear } from '../tensor/operations/forward.js';
import { compare, summary } from '../tensor/operations/metrics.js';
import { weightedAccumulate } from '../tensor/operations/observers.js';
import { cast, narrow } from '../tensor/operations/storage.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import { countPredicted, passBackwards, type GradientPassInput, type LayerGradient } from './gradient-pass.js';

/** vᵀ H v of each layer with the signs of one probe, by predicted token. */
export type ProbeProducts = Readonly<Record<string, number>>;

const relativeStep = 2 ** -10;

export class HessianProbes {
  /** By layer, of the weights as they are. */
  private readonly steps = new Map<string, number>();

  constructor(private readonly input: GradientPassInput) {}

  /** A sentence's end: why there are none. */
  async measure(probe: number): Promise<ProbeProducts | string> {
    const products: Record<string, number> = {};
    for (const side of [1, -1]) {
      const reason = await passBackwards(this.input, {
        loaded: async (weights, layers) => {
          for (const layer of layers) {
            const weight = weights.tensor(layer.tensor);
            const step = this.steps.get(layer.name) ?? (await this.stepOf(layer, weight));
            this.steps.set(layer.name, step);
            using v = signs(weight.device, weight.shape, probe, layer.name);
            using floats = cast(v, 'F32');
            const moved = cast(weight, 'F32');
            weightedAccumulate(moved, floats, { decay: 1, weight: side * step });
            weights.replace(layer.tensor, moved);
          }
        },
        of: (layer, weight) =>
          inner(signs(weight.device, weight.shape, probe, layer.name), (product) => {
            const { model, tokens } = this.input;
            if (!Number.isFinite(product))
              throw runFailure.lossNotFinite(
                model.dir,
                `the gradient for ${layer.tensor}, moved by ${this.steps.get(layer.name)}, is ${product}`,
              );
            const share = (side * product) / (2 * (this.steps.get(layer.name) ?? NaN) * countPredicted(tokens));
            products[layer.name] = (products[layer.name] ?? 0) + share;
          }),
      });
      if (reason !== null) return reason;
    }
    return products;
  }

  private async stepOf(layer: LayerPlan, weight: Tensor): Promise<number> {
    using numbers = summary(weight);
    const [count = 1, n_nan = 0, n_infinite = 0, , , , squares = 0, , first = -1] = await numbers.readDoubles();
    if (n_nan + n_infinite > 0) throw runFailure.tensorNotFinite(layer.tensor, this.input.model.dir, n_nan + n_infinite, first);
    // Weights that are all zero have no size: that of weights which keep the variance of their inputs.
    return relativeStep * (Math.sqrt(squares / count) || 1 / Math.sqrt(weight.shape[1] ?? 1));
  }
}

/** ⟨v, gradient of the weight⟩; takes v over. */
function inner(v: Tensor, tell: (product: number) => void): LayerGradient {
  const parts: Tensor[] = [];
  return {
    // Document by document, so that the sum does not depend on how they are put together in batches.
    see(x, dy, documents) {
      using y = linear(x, v, null);
      for (const [begin, length] of documents) {
        using gradient = narrow(dy, begin, length);
        using along = narrow(y, begin, length);
        parts.push(compare(gradient, along));
      }
    },
    async finish() {
      let sum = 0;
      for (const part of parts) sum += (await part.readDoubles())[3] ?? NaN;
      tell(sum);
    },
    [Symbol.dispose]: () => [v, ...parts].forEach((tensor) => tensor.dispose()),
  };
}

/** Mean over the probes, and how far it is from the trace, about. */
export function traceOf(products: readonly number[]): HessianTrace {
  const n = products.length;
  const value = products.reduce((sum, one) => sum + one, 0) / n;
  const squares = products.reduce((sum, one) => sum + (one - value) ** 2, 0);
  return { value, standard_error: n < 2 ? null : Math.sqrt(squares / (n * (n - 1))), probes: n };
}

/** 1 or −1 for each element, BF16: known from probe, name and place alone. */
function signs(device: Device, shape: readonly number[], probe: number, name: string): Tensor {
  const key = createHash('sha256').update(`hessian_trace ${probe} ${name}`).digest();
  const [offset, flip] = [key.readInt32LE(0), key.readInt32LE(4)];
  const values = new Uint16Array(shape.reduce((n, extent) => n * extent, 1));
  for (let begin = 0; begin < values.length; begin += 32) {
    let bits = mixed(mixed((begin / 32 + offset) | 0) ^ flip);
    const end = Math.min(begin + 32, values.length);
    for (let at = begin; at < end; at += 1, bits >>>= 1) values[at] = 0x3f80 | ((bits & 1) << 15);
  }
  return device.fromBytes('BF16', shape, new Uint8Array(values.buffer));
}

/** The finalizer of MurmurHash3 (Appleby): every bit of a word changes about half of the others. */
function mixed(word: number): number {
  let h = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
