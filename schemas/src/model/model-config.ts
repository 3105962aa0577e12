// config.json → what is needed to run a decoder of the Llama family, in both dialects of RoPE parameters; null with a reason when the architecture is not known.
import type { ArchitectureFacts, RopeFacts } from '../generated/plan.js';

export interface ConfigFacts {
  model_type: string | null;
  architecture_name: string | null;
  architecture: ArchitectureFacts | null;
  /** Why architecture is null, in one clause. */
  reason: string | null;
  tie_word_embeddings: boolean;
  bos_token_id: number | null;
  eos_token_id: number[];
}

type Config = Record<string, unknown>;

const knownTypes: Record<string, { qk_norm: boolean }> = {
  llama: { qk_norm: false },
  mistral: { qk_norm: false },
  qwen2: { qk_norm: false },
  qwen3: { qk_norm: true },
};

const ropeTypes: readonly RopeFacts['rope_type'][] = ['default', 'linear', 'dynamic', 'yarn', 'longrope', 'llama3'];

const numberOr = <T>(value: unknown, otherwise: T): number | T => (typeof value === 'number' && Number.isFinite(value) ? value : otherwise);
const booleanOr = <T>(value: unknown, otherwise: T): boolean | T => (typeof value === 'boolean' ? value : otherwise);
const numbersOrNull = (value: unknown): number[] | null =>
  Array.isArray(value) && value.every((item) => typeof item === 'number') ? (value as number[]) : null;
const objectOr = (value: unknown): Config =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Config) : {};

/** Both dialects: `rope_parameters` (transformers 5) or `rope_theta` with `rope_scaling` (4). */
function ropeFacts(config: Config): RopeFacts | string {
  const rope = { ...objectOr(config['rope_scaling']), ...objectOr(config['rope_parameters']) };
  const type = rope['rope_type'] ?? rope['type'] ?? 'default';
  const known = ropeTypes.find((name) => name === type);
  if (known === undefined) return `its rope_type ${JSON.stringify(type)} is none of ${ropeTypes.join(', ')}`;
  return {
    rope_type: known,
    rope_theta: numberOr(rope['rope_theta'], numberOr(config['rope_theta'], 10000)),
    partial_rotary_factor: numberOr(rope['partial_rotary_factor'], numberOr(config['partial_rotary_factor'], 1)),
    factor: numberOr(rope['factor'], null),
    low_freq_factor: numberOr(rope['low_freq_factor'], null),
    high_freq_factor: numberOr(rope['high_freq_factor'], null),
    original_max_position_embeddings: numberOr(
      rope['original_max_position_embeddings'],
      numberOr(config['original_max_position_embeddings'], null),
    ),
    attention_factor: numberOr(rope['attention_factor'], null),
    beta_fast: numberOr(rope['beta_fast'], null),
    beta_slow: numberOr(rope['beta_slow'], null),
    mscale: numberOr(rope['mscale'], null),
    mscale_all_dim: numberOr(rope['mscale_all_dim'], null),
    truncate: booleanOr(rope['truncate'], null),
    long_factor: numbersOrNull(rope['long_factor']),
    short_factor: numbersOrNull(rope['short_factor']),
  };
}

/** Attention window of every layer; null is full causal attention. */
function slidingWindows(config: Config, modelType: string, n_layers: number): (number | null)[] {
  const window = numberOr(config['sliding_window'], null);
  const layerTypes = Array.isArray(config['layer_types']) ? (config['layer_types'] as unknown[]) : null;
  const uses = modelType === 'mistral' || config['use_sliding_window'] === true;
  return Array.from({ length: n_layers }, (_, layer) => {
    if (window === null || !uses) return null;
    if (layerTypes !== null) return layerTypes[layer] === 'sliding_attention' ? window : null;
    // Qwen2: the first max_window_layers layers use full attention.
    return modelType === 'mistral' || layer >= numberOr(config['max_window_layers'], 0) ? window : null;
  });
}

function architectureFacts(config: Config, modelType: string): ArchitectureFacts | string {
  const known = Object.hasOwn(knownTypes, modelType) ? knownTypes[modelType] : undefined;
  if (known === undefined) return `its model_type ${modelType} is none of ${Object.keys(knownTypes).join(', ')}`;
  const sizes = { hidden_size: 0, intermediate_size: 0, num_hidden_layers: 0, num_attention_heads: 0, vocab_size: 0 };
  for (const name of Object.keys(sizes) as (keyof typeof sizes)[]) {
    const value = config[name];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1)
      return `its config.json gives ${name} as ${JSON.stringify(value)}`;
    sizes[name] = value;
  }
  if (config['hidden_act'] !== undefined && config['hidden_act'] !== 'silu')
    return `its hidden_act ${JSON.stringify(config['hidden_act'])} is not silu`;
  const rope = ropeFacts(config);
  if (typeof rope === 'string') return rope;
  const n_kv_heads = numberOr(config['num_key_value_heads'], sizes.num_attention_heads);
  const head_dim = numberOr(config['head_dim'], sizes.hidden_size / sizes.num_attention_heads);
  if (!Number.isInteger(head_dim) || head_dim < 1) return `its head_dim is ${head_dim}`;
  if (!Number.isInteger(n_kv_heads) || n_kv_heads < 1 || sizes.num_attention_heads % n_kv_heads !== 0)
    return `its ${sizes.num_attention_heads} heads do not share ${n_kv_heads} key/value heads`;
  return {
    family: 'llama',
    ...sizes,
    num_key_value_heads: n_kv_heads,
    head_dim,
    hidden_act: 'silu',
    rms_norm_eps: numberOr(config['rms_norm_eps'], 1e-6),
    qk_norm: known.qk_norm,
    sliding_window: slidingWindows(config, modelType, sizes.num_hidden_layers),
    rope,
    max_position_embeddings: numberOr(config['max_position_embeddings'], 2048),
    tie_word_embeddings: config['tie_word_embeddings'] === true,
    embed_tokens: 'model.embed_tokens',
    norm: 'model.norm',
    lm_head: 'lm_head',
    layers: 'model.layers',
  };
}

export function readConfig(config: Config): ConfigFacts {
  const model_type = typeof config['model_type'] === 'string' ? config['model_type'] : null;
  const architectures = Array.isArray(config['architectures']) ? config['architectures'] : [];
  const facts = model_type === null ? 'its config.json has no model_type' : architectureFacts(config, model_type);
  const eos = config['eos_token_id'];
  return {
    model_type,
    architecture_name: typeof architectures[0] === 'string' ? architectures[0] : null,
    architecture: typeof facts === 'string' ? null : facts,
    reason: typeof facts === 'string' ? facts : null,
    tie_word_embeddings: config['tie_word_embeddings'] === true,
    bos_token_id: numberOr(config['bos_token_id'], null),
    eos_token_id: typeof eos === 'number' ? [eos] : (numbersOrNull(eos) ?? []),
  };
}
