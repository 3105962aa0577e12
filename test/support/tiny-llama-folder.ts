// Writes a Llama folder of two blocks: zero weights for what reads headers and config.json only (and to make every token equally likely), random ones for runs.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const tinyLlama = { hidden: 64, mlp: 176, blocks: 2, vocabulary: 96 } as const;

/** A new folder under the system's temporary folder, gone when the test process ends. */
export function temporaryFolder(name: string): string {
  const dir = mkdtempSync(path.join(tmpdir(), `bitwright-${name}-`));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function writeTinyLlama(dir: string, weights: 'zero' | 'random' = 'zero'): void {
  const { hidden, mlp, blocks, vocabulary } = tinyLlama;
  const shapes: Record<string, number[]> = { 'model.embed_tokens.weight': [vocabulary, hidden] };
  for (let block = 0; block < blocks; block += 1) {
    const prefix = `model.layers.${block}`;
    for (const role of ['q_proj', 'k_proj', 'v_proj', 'o_proj']) shapes[`${prefix}.self_attn.${role}.weight`] = [hidden, hidden];
    for (const role of ['gate_proj', 'up_proj']) shapes[`${prefix}.mlp.${role}.weight`] = [mlp, hidden];
    shapes[`${prefix}.mlp.down_proj.weight`] = [hidden, mlp];
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) shapes[`${prefix}.${norm}.weight`] = [hidden];
  }
  shapes['model.norm.weight'] = [hidden];
  shapes['lm_head.weight'] = [vocabulary, hidden];
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'model.safetensors'), safetensorsOf(shapes, weights === 'zero' ? () => 0 : randomValues(1)));
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: vocabulary,
    hidden_size: hidden,
    intermediate_size: mlp,
    num_hidden_layers: blocks,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    hidden_act: 'silu',
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    max_position_embeddings: 128,
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: 2,
  };
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify(config));
}

/** Uniform in [-0.1, 0.1), the same each time. */
function randomValues(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) / 5;
  };
}

function safetensorsOf(shapes: Record<string, number[]>, nextValue: () => number): Buffer {
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = 4 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, Buffer.from(Float32Array.from({ length: offset / 4 }, nextValue).buffer)]);
}
