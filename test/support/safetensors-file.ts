// Writes a small safetensors file of float32 tensors, and folders of working models with chosen weights.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface FloatTensor {
  shape: readonly number[];
  values: Float32Array;
}

export function writeFloatTensors(file: string, tensors: ReadonlyMap<string, FloatTensor>): void {
  const header: Record<string, unknown> = {};
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [name, { shape, values }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + values.byteLength] };
    parts.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
    offset += values.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([length, text, ...parts]));
}

/** Small noise that is the same everywhere: a sine of the index. */
const noise = (n: number, size: number, phase: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => size * Math.sin(12.9898 * (i + 1) + phase));

export interface SmallModelOptions {
  blocks?: number;
  /** Changes tensors before they are written. */
  change?(tensors: Map<string, FloatTensor>): void;
  config?: Record<string, unknown>;
  /** A tokenizer.json to copy, with its tokenizer_config.json. */
  tokenizer?: { file: string; config: object };
}

/** A Llama model with weights that are not zero: hidden 32, 4 heads, 2 key/value heads, vocabulary 420. */
export function writeSmallModel(dir: string, { blocks = 2, change, config, tokenizer }: SmallModelOptions = {}): string {
  const tensors = new Map<string, FloatTensor>();
  const add = (name: string, shape: readonly number[]): void => {
    const n = shape.reduce((product, extent) => product * extent, 1);
    const values = shape.length === 1 ? new Float32Array(n).fill(1) : noise(n, 0.2, tensors.size);
    tensors.set(`${name}.weight`, { shape, values });
  };
  add('model.embed_tokens', [420, 32]);
  for (let block = 0; block < blocks; block += 1) {
    const at = `model.layers.${block}`;
    add(`${at}.input_layernorm`, [32]);
    add(`${at}.self_attn.q_proj`, [32, 32]);
    add(`${at}.self_attn.k_proj`, [16, 32]);
    add(`${at}.self_attn.v_proj`, [16, 32]);
    add(`${at}.self_attn.o_proj`, [32, 32]);
    add(`${at}.post_attention_layernorm`, [32]);
    add(`${at}.mlp.gate_proj`, [48, 32]);
    add(`${at}.mlp.up_proj`, [48, 32]);
    add(`${at}.mlp.down_proj`, [32, 48]);
  }
  add('model.norm', [32]);
  add('lm_head', [420, 32]);
  change?.(tensors);
  mkdirSync(dir, { recursive: true });
  writeFloatTensors(path.join(dir, 'model.safetensors'), tensors);
  const facts = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: 420,
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: blocks,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 128,
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: 2,
    ...config,
  };
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify(facts));
  if (tokenizer) {
    cpSync(tokenizer.file, path.join(dir, 'tokenizer.json'));
    writeFileSync(path.join(dir, 'tokenizer_config.json'), JSON.stringify(tokenizer.config));
  }
  return dir;
}
