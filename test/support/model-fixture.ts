// Model folders made on the spot: config.json and a safetensors file, as small as a test needs.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { writeFloatTensors, type FloatTensor } from './safetensors-file.js';

export interface TinyModel {
  config: Record<string, unknown>;
  /** Name → shape; float32. */
  tensors: Record<string, number[]>;
}

export interface LlamaChanges {
  config?: Record<string, unknown>;
  blocks?: number;
  hidden?: number;
  intermediate?: number;
  /** Rows of the key and value projections. */
  keyValues?: number;
  vocabulary?: number;
}

/** Two blocks of a Llama model: hidden 64, intermediate 172, as in stories260K. */
export function tinyLlama(changes: LlamaChanges = {}): TinyModel {
  const { blocks = 2, hidden = 64, intermediate = 172, keyValues = 32, vocabulary = 32 } = changes;
  const heads = Number(changes.config?.['num_attention_heads'] ?? 8);
  const tensors: TinyModel['tensors'] = {
    'model.embed_tokens.weight': [vocabulary, hidden],
    'model.norm.weight': [hidden],
    'lm_head.weight': [vocabulary, hidden],
  };
  for (let block = 0; block < blocks; block += 1) {
    const at = `model.layers.${block}`;
    Object.assign(tensors, {
      [`${at}.input_layernorm.weight`]: [hidden],
      [`${at}.post_attention_layernorm.weight`]: [hidden],
      [`${at}.self_attn.q_proj.weight`]: [hidden, hidden],
      [`${at}.self_attn.k_proj.weight`]: [keyValues, hidden],
      [`${at}.self_attn.v_proj.weight`]: [keyValues, hidden],
      [`${at}.self_attn.o_proj.weight`]: [hidden, hidden],
      [`${at}.mlp.gate_proj.weight`]: [intermediate, hidden],
      [`${at}.mlp.up_proj.weight`]: [intermediate, hidden],
      [`${at}.mlp.down_proj.weight`]: [hidden, intermediate],
    });
  }
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: blocks,
    num_attention_heads: heads,
    num_key_value_heads: (keyValues * heads) / hidden,
    vocab_size: vocabulary,
    max_position_embeddings: 128,
    ...changes.config,
  };
  return { config, tensors };
}

/** `nextValue` gives the weights, one after the other. */
export function writeModel(dir: string, { config, tensors }: TinyModel, nextValue: () => number = () => 0): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify(config));
  const filled = Object.entries(tensors).map(([name, shape]): [string, FloatTensor] => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    return [name, { shape, values: Float32Array.from({ length }, nextValue) }];
  });
  writeFloatTensors(path.join(dir, 'model.safetensors'), new Map(filled));
  return dir;
}
