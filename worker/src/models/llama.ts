// The Llama family: Llama 2 and 3, Mistral, Qwen2 (biases on q, k, v), Qwen3 (norms on q and k). Reads like the model's own description.
import type { ArchitectureFacts } from '../../../schemas/src/generated/plan.js';
import { add, attention, embedding, linear, rmsnorm, rope, siluMul } from '../tensor/operations/forward.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import type { DecoderModel, Tap, TokenBatch, WeightSource } from './model.js';
import { makeRopeTables } from './rope.js';

export class LlamaDecoder implements DecoderModel, Disposable {
  readonly nBlocks: number;
  readonly embeddingTensors: readonly string[];
  readonly headTensors: readonly string[];
  private readonly cos: Tensor;
  private readonly sin: Tensor;

  /** `n_positions`: the longest document that will come. */
  constructor(
    private readonly facts: ArchitectureFacts,
    device: Device,
    n_positions: number,
  ) {
    this.nBlocks = facts.num_hidden_layers;
    this.embeddingTensors = [`${facts.embed_tokens}.weight`];
    const head = facts.tie_word_embeddings ? facts.embed_tokens : facts.lm_head;
    this.headTensors = [`${facts.norm}.weight`, `${head}.weight`, `${head}.bias`];
    const tables = makeRopeTables(facts, n_positions);
    const shape = [tables.n_positions, tables.n_pairs];
    this.cos = device.fromFloats(shape, tables.cos);
    this.sin = device.fromFloats(shape, tables.sin);
  }

  embed(batch: TokenBatch, weights: WeightSource): Tensor {
    return embedding(weights.tensor(`${this.facts.embed_tokens}.weight`), batch.ids);
  }

  forwardBlock(block: number, hidden: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor {
    using between = this.afterAttention(block, hidden, batch, weights, tap);
    using normed = this.norm(between, `${this.facts.layers}.${block}.post_attention_layernorm`, weights);
    using down = this.mlp(block, normed, weights, tap);
    return add(between, down);
  }

  observeBlock(block: number, hidden: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap): void {
    using between = this.afterAttention(block, hidden, batch, weights, tap);
    using normed = this.norm(between, `${this.facts.layers}.${block}.post_attention_layernorm`, weights);
    using activated = this.activated(block, normed, weights, tap);
    tap(`${this.facts.layers}.${block}.mlp.down_proj`, activated);
  }

  observeModule(
    module: string,
    block: number,
    hidden: Tensor,
    batch: TokenBatch,
    weights: WeightSource,
    see: (input: Tensor) => void,
  ): void {
    const prefix = `${this.facts.layers}.${block}`;
    if (module === prefix) return see(hidden);
    const first = { [`${prefix}.self_attn`]: `${prefix}.self_attn.q_proj`, [`${prefix}.mlp`]: `${prefix}.mlp.gate_proj` }[module] ?? module;
    this.observeBlock(block, hidden, batch, weights, (tapped, input) => {
      if (tapped === first) see(input);
    });
  }

  forwardModule(module: string, block: number, input: Tensor, batch: TokenBatch, weights: WeightSource): Tensor {
    const prefix = `${this.facts.layers}.${block}`;
    if (module === prefix) return this.forwardBlock(block, input, batch, weights, null);
    if (module === `${prefix}.self_attn`) return this.selfAttention(block, input, batch, weights, null);
    if (module === `${prefix}.mlp`) return this.mlp(block, input, weights, null);
    return project(module, input, weights, null);
  }

  finalNorm(hidden: Tensor, weights: WeightSource): Tensor {
    return this.norm(hidden, this.facts.norm, weights);
  }

  logits(normed: Tensor, weights: WeightSource, tap: Tap | null): Tensor {
    const { lm_head, embed_tokens, tie_word_embeddings } = this.facts;
    if (!tie_word_embeddings) return project(lm_head, normed, weights, tap);
    tap?.(lm_head, normed);
    return linear(normed, weights.tensor(`${embed_tokens}.weight`), null);
  }

  private afterAttention(block: number, hidden: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor {
    using normed = this.norm(hidden, `${this.facts.layers}.${block}.input_layernorm`, weights);
    using attended = this.selfAttention(block, normed, batch, weights, tap);
    return add(hidden, attended);
  }

  private mlp(block: number, normed: Tensor, weights: WeightSource, tap: Tap | null): Tensor {
    using activated = this.activated(block, normed, weights, tap);
    return project(`${this.facts.layers}.${block}.mlp.down_proj`, activated, weights, tap);
  }

  /** The input of down_proj. */
  private activated(block: number, normed: Tensor, weights: WeightSource, tap: Tap | null): Tensor {
    const prefix = `${this.facts.layers}.${block}`;
    using gate = project(`${prefix}.mlp.gate_proj`, normed, weights, tap);
    using up = project(`${prefix}.mlp.up_proj`, normed, weights, tap);
    return siluMul(gate, up);
  }

  private selfAttention(block: number, normed: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor {
    const prefix = `${this.facts.layers}.${block}.self_attn`;
    using q = this.turned(`${prefix}.q`, normed, batch, weights, tap);
    using k = this.turned(`${prefix}.k`, normed, batch, weights, tap);
    using v = project(`${prefix}.v_proj`, normed, weights, tap);
    const { num_attention_heads, num_key_value_heads, head_dim, sliding_window } = this.facts;
    const options = {
      n_heads: num_attention_heads,
      n_kv_heads: num_key_value_heads,
      head_dim,
      scale: 1 / Math.sqrt(head_dim),
      sliding_window: sliding_window[block] ?? 0,
    };
    using mixed = batch.attend?.(block, q, k, v, options) ?? attention(q, k, v, batch.documentOffsets, options);
    return project(`${prefix}.o_proj`, mixed, weights, tap);
  }

  /** Queries or keys: projected, normed per head where the model does so, and turned by their positions. */
  private turned(name: string, normed: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor {
    using projected = project(`${name}_proj`, normed, weights, tap);
    if (!this.facts.qk_norm) return rope(projected, this.cos, this.sin, batch.positionIds, this.facts.head_dim);
    using perHead = this.norm(projected, `${name}_norm`, weights);
    return rope(perHead, this.cos, this.sin, batch.positionIds, this.facts.head_dim);
  }

  private norm(x: Tensor, module: string, weights: WeightSource): Tensor {
    return rmsnorm(x, weights.tensor(`${module}.weight`), this.facts.rms_norm_eps);
  }

  [Symbol.dispose](): void {
    this.cos.dispose();
    this.sin.dispose();
  }
}

function project(module: string, input: Tensor, weights: WeightSource, tap: Tap | null): Tensor {
  tap?.(module, input);
  const { weight, bias, quantizeInput, adapter } = weights.linear(module);
  using quantized = quantizeInput?.(input);
  if (!adapter) return linear(quantized ?? input, weight, bias);
  using own = linear(quantized ?? input, weight, bias);
  using down = linear(input, adapter.A, null);
  using up = linear(down, adapter.B, null);
  return add(own, up);
}
