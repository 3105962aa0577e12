// Model folders made on the spot: config.json and safetensors headers with tensors of zeros, as small as a test needs.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface TinyModel {
  config: Record<string, unknown>;
  /** Name → shape; float32 zeros unless `bytes` says otherwise. */
  tensors: Record<string, number[]>;
}

/** Two blocks of a Llama model: hidden 64, intermediate 172, as in stories260K. */
export function tinyLlama(changes: { config?: Record<string, unknown>; blocks?: number; intermediate?: number } = {}): TinyModel {
  const n_blocks = changes.blocks ?? 2;
  const intermediate = changes.intermediate ?? 172;
  const tensors: TinyModel['tensors'] = { 'model.embed_tokens.weight': [32, 64], 'model.norm.weight': [64], 'lm_head.weight': [32, 64] };
  for (let block = 0; block < n_blocks; block += 1) {
    const at = `model.layers.${block}`;
    Object.assign(tensors, {
      [`${at}.input_layernorm.weight`]: [64],
      [`${at}.post_attention_layernorm.weight`]: [64],
      [`${at}.self_attn.q_proj.weight`]: [64, 64],
      [`${at}.self_attn.k_proj.weight`]: [32, 64],
      [`${at}.self_attn.v_proj.weight`]: [32, 64],
      [`${at}.self_attn.o_proj.weight`]: [64, 64],
      [`${at}.mlp.gate_proj.weight`]: [intermediate, 64],
      [`${at}.mlp.up_proj.weight`]: [intermediate, 64],
      [`${at}.mlp.down_proj.weight`]: [64, intermediate],
    });
  }
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: 64,
    intermediate_size: intermediate,
    num_hidden_layers: n_blocks,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    vocab_size: 32,
    max_position_embeddings: 128,
    ...changes.config,
  };
  return { config, tensors };
}

/** The bytes of a safetensors file with zeros. */
export function safetensorsBytes(tensors: Record<string, number[]>): Buffer {
  let offset = 0;
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  for (const [name, shape] of Object.entries(tensors)) {
    const bytes = shape.reduce((n, extent) => n * extent, 4);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([prefix, text, Buffer.alloc(offset)]);
}

export function writeModel(dir: string, { config, tensors }: TinyModel): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify(config));
  writeFileSync(path.join(dir, 'model.safetensors'), safetensorsBytes(tensors));
  return dir;
}
