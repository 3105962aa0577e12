// Small random models of every architecture that becomes a GGUF file, with what is its own: turned rows (llama), biases and a tied head (qwen2), norms of queries and keys and long heads (qwen3).
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { tinyLlama, writeModel, type TinyModel } from './model-fixture.js';
import { seededRandom } from './random.js';
import { byteLevelTokenizer } from './small-tokenizer.js';

export const ggufModelNames = ['llama', 'qwen2', 'qwen3'] as const;
export type GgufModelName = (typeof ggufModelNames)[number];

const vocabulary = 128;
const [blocks, hidden, intermediate, heads, keyValueHeads] = [2, 256, 512, 4, 2];

/** As Qwen's own tokenizer splits. */
const pattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

function modelOf(name: GgufModelName): TinyModel {
  const head = name === 'qwen3' ? 128 : hidden / heads;
  const own = {
    llama: { architectures: ['LlamaForCausalLM'], tie_word_embeddings: false },
    qwen2: { architectures: ['Qwen2ForCausalLM'], tie_word_embeddings: true, use_sliding_window: false },
    qwen3: {
      architectures: ['Qwen3ForCausalLM'],
      tie_word_embeddings: false,
      use_sliding_window: false,
      head_dim: head,
      attention_bias: false,
    },
  }[name];
  const { config, tensors } = tinyLlama({
    blocks,
    hidden,
    intermediate,
    keyValues: keyValueHeads * head,
    vocabulary,
    config: {
      ...own,
      model_type: name,
      num_attention_heads: heads,
      num_key_value_heads: keyValueHeads,
      hidden_act: 'silu',
      rms_norm_eps: 1e-6,
      rope_theta: 10000,
      max_position_embeddings: 128,
      torch_dtype: 'float32',
    },
  });
  if (name === 'qwen2') delete tensors['lm_head.weight'];
  for (let block = 0; block < blocks; block += 1) {
    const at = `model.layers.${block}.self_attn`;
    tensors[`${at}.q_proj.weight`] = [heads * head, hidden];
    tensors[`${at}.o_proj.weight`] = [hidden, heads * head];
    if (name === 'qwen2') {
      tensors[`${at}.q_proj.bias`] = [heads * head];
      for (const part of ['k_proj', 'v_proj']) tensors[`${at}.${part}.bias`] = [keyValueHeads * head];
    }
    if (name === 'qwen3') for (const part of ['q_norm', 'k_norm']) tensors[`${at}.${part}.weight`] = [head];
  }
  return { config, tensors };
}

/** Norms near one, weights with a channel that stands out; the same on every machine. */
export function writeGgufModel(dir: string, name: GgufModelName): string {
  const random = seededRandom(17);
  const { config, tensors } = modelOf(name);
  const kinds = Object.entries(tensors).flatMap(([tensor, shape]) =>
    Array.from({ length: shape.reduce((product, extent) => product * extent, 1) }, (_, i) =>
      tensor.includes('norm') ? 1 : shape.length === 2 && i % (shape[1] ?? 1) === 3 ? 0.5 : 0,
    ),
  );
  let index = 0;
  writeModel(dir, { config, tensors }, () => {
    const kind = kinds[index++];
    const value = (random.below(20_001) / 10_000 - 1) * 0.12;
    return kind === 1 ? 1 + value : kind === 0.5 ? 4 * value : value;
  });
  writeFileSync(path.join(dir, 'tokenizer.json'), JSON.stringify(byteLevelTokenizer(pattern, ['a b', 'Ġ a', 'Ġa b', 'Ġ ab'])));
  writeFileSync(path.join(dir, 'tokenizer_config.json'), JSON.stringify({ eos_token: '<|end|>', bos_token: null, add_bos_token: false }));
  return dir;
}

/** Documents of token ids, and a file with a row for each. */
export function writeDocuments(file: string, n: number, length: number): number[][] {
  const random = seededRandom(23);
  const documents = Array.from({ length: n }, () => Array.from({ length }, () => random.below(90)));
  writeFileSync(file, documents.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
  return documents;
}
