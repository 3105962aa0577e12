// What a GGUF file says of an architecture, both ways: facts → metadata entries and what stands against them; entries → facts.
// Keys: ggml-org/ggml, docs/gguf.md, and what llama.cpp reads (src/llama-arch.cpp).
import type { ArchitectureFacts, RopeFacts } from '../generated/plan.js';
import type { GgufEntry, GgufTensor } from './gguf-header.js';

/** An entry to be written. */
export type GgufValueToWrite =
  | { key: string; type: 'uint32' | 'int32' | 'float32'; value: number }
  | { key: string; type: 'bool'; value: boolean }
  | { key: string; type: 'string'; value: string }
  | { key: string; type: 'array'; of: 'string'; values: readonly string[] }
  | { key: string; type: 'array'; of: 'float32' | 'int32'; values: readonly number[] };

const architectures: Readonly<Record<string, string>> = { llama: 'llama', mistral: 'llama', qwen2: 'qwen2', qwen3: 'qwen3' };

/** llama.cpp's name of an architecture; null: none that is written. */
export const ggufArchitecture = (model_type: string | null): string | null => architectures[model_type ?? ''] ?? null;

/** Where llama.cpp would compute something else than config.json asks for, each in a clause. */
export function architectureObstacles(facts: ArchitectureFacts): string[] {
  const { rope, sliding_window, max_position_embeddings } = facts;
  const obstacles: string[] = [];
  if (!['default', 'linear', 'yarn', 'llama3'].includes(rope.rope_type)) obstacles.push(`its rope_type is ${rope.rope_type}`);
  if (rope.partial_rotary_factor !== 1) obstacles.push(`it turns ${rope.partial_rotary_factor} of each head (partial_rotary_factor)`);
  if (rope.rope_type === 'yarn' && (rope.attention_factor ?? rope.mscale ?? rope.mscale_all_dim) !== null)
    obstacles.push('its yarn has an attention_factor or mscale of its own');
  if (rope.rope_type === 'llama3' && rope.original_max_position_embeddings === null)
    obstacles.push('its rope of type llama3 has no original_max_position_embeddings');
  const windows = [...new Set(sliding_window.filter((window) => window !== null && window < max_position_embeddings))];
  if (windows.length > 0) obstacles.push(`it attends to the last ${windows.join(' or ')} tokens alone (sliding_window)`);
  return obstacles;
}

export function architectureEntries(architecture: string, facts: ArchitectureFacts): GgufValueToWrite[] {
  const { rope } = facts;
  const number = (key: string, value: number): GgufValueToWrite => ({ key: `${architecture}.${key}`, type: 'uint32', value });
  const float = (key: string, value: number): GgufValueToWrite => ({ key: `${architecture}.${key}`, type: 'float32', value });
  const scaling: GgufValueToWrite[] =
    rope.rope_type === 'linear' || rope.rope_type === 'yarn'
      ? [
          { key: `${architecture}.rope.scaling.type`, type: 'string', value: rope.rope_type },
          float('rope.scaling.factor', rope.factor ?? 1),
          ...(rope.rope_type === 'yarn'
            ? [number('rope.scaling.original_context_length', rope.original_max_position_embeddings ?? facts.max_position_embeddings)]
            : []),
        ]
      : [];
  return [
    number('block_count', facts.num_hidden_layers),
    number('context_length', facts.max_position_embeddings),
    number('embedding_length', facts.hidden_size),
    number('feed_forward_length', facts.intermediate_size),
    number('attention.head_count', facts.num_attention_heads),
    number('attention.head_count_kv', facts.num_key_value_heads),
    number('attention.key_length', facts.head_dim),
    number('attention.value_length', facts.head_dim),
    float('attention.layer_norm_rms_epsilon', facts.rms_norm_eps),
    number('vocab_size', facts.vocab_size),
    number('rope.dimension_count', facts.head_dim),
    float('rope.freq_base', rope.rope_theta),
    ...scaling,
    // Files of llama.cpp keep the factors alone (rope_freqs.weight), from which the rule cannot be read back.
    ...(rope.rope_type === 'llama3' ? [{ key: 'bitwright_rope', type: 'string', value: JSON.stringify(rope) } as const] : []),
  ];
}

/** By what llama.cpp divides each frequency; null: no such tensor. Formula: transformers, modeling_rope_utils.py, llama3. */
export function ropeFactors({ rope, head_dim }: ArchitectureFacts): Float32Array | null {
  if (rope.rope_type !== 'llama3') return null;
  const [factor, low, high] = [rope.factor ?? 8, rope.low_freq_factor ?? 1, rope.high_freq_factor ?? 4];
  const original = rope.original_max_position_embeddings ?? 8192;
  return Float32Array.from({ length: head_dim / 2 }, (_, pair) => {
    const wavelength = 2 * Math.PI * rope.rope_theta ** ((2 * pair) / head_dim);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

export interface GgufModelFacts {
  /** llama.cpp's name. */
  name: string;
  facts: ArchitectureFacts;
  bos_token_id: number | null;
  eos_token_id: number[];
}

/** A sentence where the file says too little or something that is not computed here. */
export function architectureOf(metadata: readonly GgufEntry[], tensors: readonly GgufTensor[]): GgufModelFacts | string {
  const values = new Map(metadata.map(({ key, value }) => [key, value]));
  const name = values.get('general.architecture');
  if (name !== 'llama' && name !== 'qwen2' && name !== 'qwen3')
    return `its general.architecture is ${JSON.stringify(typeof name === 'string' ? name : null)}, and those that are read are llama, qwen2 and qwen3`;
  const missing: string[] = [];
  const number = (key: string, otherwise: number | null = null): number => {
    const value = values.get(`${name}.${key}`);
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    if (otherwise === null) missing.push(`${name}.${key}`);
    return otherwise ?? 0;
  };
  const has = (tensor: string): boolean => tensors.some((known) => known.name === tensor);
  const sizes = {
    hidden_size: number('embedding_length'),
    intermediate_size: number('feed_forward_length'),
    num_hidden_layers: number('block_count'),
    num_attention_heads: number('attention.head_count'),
  };
  const num_key_value_heads = number('attention.head_count_kv', sizes.num_attention_heads);
  const head_dim = number('attention.key_length', sizes.hidden_size / sizes.num_attention_heads);
  const rms_norm_eps = number('attention.layer_norm_rms_epsilon');
  const max_position_embeddings = number('context_length');
  const rope_theta = number('rope.freq_base', 10000);
  const [vocab_size] = tensors.find((tensor) => tensor.name === 'token_embd.weight')?.shape ?? [];
  if (missing.length > 0) return `it has no number under ${missing.join(', ')}`;
  const counts = [...Object.values(sizes), num_key_value_heads, head_dim, max_position_embeddings];
  if (!counts.every((count) => Number.isInteger(count) && count > 0 && count < 2 ** 31))
    return `its sizes (${counts.join(', ')}) are not all whole numbers above zero`;
  if (sizes.num_hidden_layers > tensors.length)
    return `it claims ${sizes.num_hidden_layers} blocks and has ${tensors.length} tensors in all`;
  if (sizes.num_attention_heads % num_key_value_heads !== 0)
    return `its ${sizes.num_attention_heads} heads do not share ${num_key_value_heads} key/value heads`;
  if (vocab_size === undefined) return 'it has no token_embd.weight';
  if (number('rope.dimension_count', head_dim) !== head_dim) return 'its rope.dimension_count is not the length of a head';
  if (number('attention.value_length', head_dim) !== head_dim) return 'its keys and values have heads of different lengths';
  const rope = ropeOf(values, name, rope_theta, has('rope_freqs.weight'));
  if (typeof rope === 'string') return rope;
  const id = (key: string): number | null => {
    const value = values.get(`tokenizer.ggml.${key}`);
    return typeof value === 'number' ? value : null;
  };
  const eos = id('eos_token_id');
  return {
    name,
    facts: {
      family: 'llama',
      ...sizes,
      vocab_size,
      num_key_value_heads,
      head_dim,
      hidden_act: 'silu',
      rms_norm_eps,
      qk_norm: name === 'qwen3',
      sliding_window: new Array<null>(sizes.num_hidden_layers).fill(null),
      rope,
      max_position_embeddings,
      tie_word_embeddings: !has('output.weight'),
      embed_tokens: 'model.embed_tokens',
      norm: 'model.norm',
      lm_head: 'lm_head',
      layers: 'model.layers',
    },
    bos_token_id: id('bos_token_id'),
    eos_token_id: eos === null ? [] : [eos],
  };
}

const plainRope: Omit<RopeFacts, 'rope_theta'> = {
  rope_type: 'default',
  partial_rotary_factor: 1,
  factor: null,
  low_freq_factor: null,
  high_freq_factor: null,
  original_max_position_embeddings: null,
  attention_factor: null,
  beta_fast: null,
  beta_slow: null,
  mscale: null,
  mscale_all_dim: null,
  truncate: null,
  long_factor: null,
  short_factor: null,
};

function ropeOf(
  values: ReadonlyMap<string, GgufEntry['value']>,
  name: string,
  rope_theta: number,
  hasFactors: boolean,
): RopeFacts | string {
  const numberAt = (key: string): number | null => {
    const value = values.get(`${name}.rope.scaling.${key}`);
    return typeof value === 'number' ? value : null;
  };
  if (hasFactors) {
    const own = values.get('bitwright_rope');
    const rope = typeof own === 'string' ? llama3Rope(own) : null;
    return rope ?? 'its rope_freqs.weight holds factors of frequencies, and the rule they come from is not in the file';
  }
  const type = values.get(`${name}.rope.scaling.type`);
  const factor = numberAt('factor');
  if (type === undefined && factor === null) return { ...plainRope, rope_theta };
  if (type === 'none') return { ...plainRope, rope_theta };
  if (factor === null || (type !== undefined && type !== 'linear' && type !== 'yarn'))
    return `its rope.scaling.type is ${JSON.stringify(type)} with the factor ${String(factor)}`;
  const original_max_position_embeddings = numberAt('original_context_length');
  return { ...plainRope, rope_theta, rope_type: type ?? 'linear', factor, original_max_position_embeddings };
}

function llama3Rope(text: string): RopeFacts | null {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return null; // the caller says that the rule is not there
  }
  const rope = said as Partial<RopeFacts> | null;
  const numbers = [rope?.rope_theta, rope?.factor, rope?.low_freq_factor, rope?.high_freq_factor, rope?.original_max_position_embeddings];
  if (rope?.rope_type !== 'llama3' || !numbers.every((value) => typeof value === 'number' && Number.isFinite(value))) return null;
  const [rope_theta = 0, factor = 0, low_freq_factor = 0, high_freq_factor = 0, original_max_position_embeddings = 0] = numbers as number[];
  return { ...plainRope, rope_type: 'llama3', rope_theta, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings };
}
