// The Llama family: Llama 2 and 3, Mistral, Qwen2 (biases on q, k, v), Qwen3 (norms on q and k). Reads like the model's own description.
import type { ArchitectureFacts } from '../../../schemas/src/generated/plan.js';
import { add, attention, embedding, linear, rmsnorm, rope, siluMul } from '../tensor/operations/forward.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import { byRows } from './by-rows.js';
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
    const rest = (rows: Tensor): Tensor => {
      using normed = this.norm(rows, `${this.facts.layers}.${block}.post_attention_layernorm`, weights);
      using down = this.mlp(block, normed, batch, weights, tap);
      return add(rows, down);
    };
    // A tap sees all rows of an input at once.
    return tap ? rest(between) : byRows(batch, weights, [between], ([rows]) => rest(rows!));
  }

  observeBlock(block: number, hidden: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap): void {
    using normed = this.mlpInput(block, hidden, batch, weights, tap);
    using activated = this.activated(block, normed, batch, weights, tap);
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
    if (module === `${prefix}.mlp`) return this.mlp(block, input, batch, weights, null);
    return project(module, input, batch, weights, null);
  }

  finalNorm(hidden: Tensor, weights: WeightSource): Tensor {
    return this.norm(hidden, this.facts.norm, weights);
  }

  logits(normed: Tensor, weights: WeightSource, tap: Tap | null): Tensor {
    const { lm_head, embed_tokens, tie_word_embeddings } = this.facts;
    tap?.(lm_head, normed);
    return tie_word_embeddings ? linear(normed, weights.tensor(`${embed_tokens}.weight`), null) : product(lm_head, normed, weights);
  }

  private afterAttention(block: number, hidden: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor {
    using normed = this.norm(hidden, `${this.facts.layers}.${block}.input_layernorm`, weights);
    using attended = this.selfAttention(block, normed, batch, weights, tap);
    return add(hidden, attended);
  }

  private mlpInput(block: number, hidden: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap): Tensor {
    using between = this.afterAttention(block, hidden, batch, weights, tap);
    return this.norm(between, `${this.facts.layers}.${block}.post_attention_layernorm`, weights);
  }

  private mlp(block: number, normed: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor {
    const down = (rows: Tensor): Tensor => {
      using activated = this.activated(block, rows, batch, weights, tap);
      return project(`${this.facts.layers}.${block}.mlp.down_proj`, activated, batch, weights, tap);
    };
    return tap ? down(normed) : byRows(batch, weights, [normed], ([rows]) => down(rows!));
  }

  /** The input of down_proj. */
  private activated(block: number, normed: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor {
    const [gate_proj, up_proj] = [`${this.facts.layers}.${block}.mlp.gate_proj`, `${this.facts.layers}.${block}.mlp.up_proj`];
    for (const module of [gate_proj, up_proj]) tap?.(module, normed);
    return byRows(batch, weights, [normed], ([rows]) => {
      using gate = product(gate_proj, rows!, weights);
      using up = product(up_proj, rows!, weights);
      return siluMul(gate, up);
    });
  }

  private selfAttention(block: number, normed: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor {
    const prefix = `${this.facts.layers}.${block}.self_attn`;
    for (const name of ['q', 'k', 'v']) tap?.(`${prefix}.${name}_proj`, normed);
    using mixed = this.mixed(block, normed, batch, weights);
    return project(`${prefix}.o_proj`, mixed, batch, weights, tap);
  }

  /** The input of o_proj. Keys and values are those of all tokens, queries may come in ranges. */
  private mixed(block: number, normed: Tensor, batch: TokenBatch, weights: WeightSource): Tensor {
    const prefix = `${this.facts.layers}.${block}.self_attn`;
    const { num_attention_heads, num_key_value_heads, head_dim, sliding_window } = this.facts;
    const options = {
      n_heads: num_attention_heads,
      n_kv_heads: num_key_value_heads,
      head_dim,
      scale: 1 / Math.sqrt(head_dim),
      sliding_window: sliding_window[block] ?? 0,
    };
    const turned = (name: string, [rows, positionIds]: readonly Tensor[]): Tensor => this.turned(name, rows!, positionIds!, weights);
    const inputs = [normed, batch.positionIds];
    using k = byRows(batch, weights, inputs, (rows) => turned(`${prefix}.k`, rows));
    using v = project(`${prefix}.v_proj`, normed, batch, weights, null);
    return byRows(batch, weights, inputs, (rows, first_query) => {
      using q = turned(`${prefix}.q`, rows);
      return batch.attend?.(block, q, k, v, options) ?? attention(q, k, v, batch.documentOffsets, { ...options, first_query });
    });
  }

  /** Queries or keys: projected, normed per head where the model does so, and turned by their positions. */
  private turned(name: string, normed: Tensor, positionIds: Tensor, weights: WeightSource): Tensor {
    using projected = product(`${name}_proj`, normed, weights);
    if (!this.facts.qk_norm) return rope(projected, this.cos, this.sin, positionIds, this.facts.head_dim);
    using perHead = this.norm(projected, `${name}_norm`, weights);
    return rope(perHead, this.cos, this.sin, positionIds, this.facts.head_dim);
  }

  private norm(x: Tensor, module: string, weights: WeightSource): Tensor {
    return rmsnorm(x, weights.tensor(`${module}.weight`), this.facts.rms_norm_eps);
  }

  [Symbol.dispose](): void {
    this.cos.dispose();
    this.sin.dispose();
  }
}

function project(module: string, input: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor {
  tap?.(module, input);
  return byRows(batch, weights, [input], ([rows]) => product(module, rows!, weights));
}

function product(module: string, input: Tensor, weights: WeightSource): Tensor {
  const { weight, bias, quantizeInput, adapter } = weights.linear(module);
  using quantized = quantizeInput?.(input);
  if (!adapter) return linear(quantized ?? input, weight, bias);
  using own = linear(quantized ?? input, weight, bias);
  using down = linear(input, adapter.A, null);
  using up = linear(down, adapter.B, null);
  return add(own, up);
}
