// Names of tensors in a GGUF file and in the checkpoint that it is made from, both ways, for decoders of the Llama family.
// Source: gguf-py 0.19, gguf/constants.py and gguf/tensor_mapping.py.
import type { ArchitectureFacts } from '../generated/plan.js';

const inBlock: readonly [own: string, gguf: string][] = [
  ['input_layernorm', 'attn_norm'],
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
  ['self_attn.q_norm', 'attn_q_norm'],
  ['self_attn.k_norm', 'attn_k_norm'],
  ['post_attention_layernorm', 'ffn_norm'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
];

type Places = Pick<ArchitectureFacts, 'embed_tokens' | 'norm' | 'lm_head' | 'layers'>;

const outside = ({ embed_tokens, norm, lm_head }: Places): readonly [own: string, gguf: string][] => [
  [embed_tokens, 'token_embd'],
  [norm, 'output_norm'],
  [lm_head, 'output'],
];

/** null: GGUF has no name for it. */
export function ggufName(name: string, places: Places): string | null {
  const [, module = '', kind = ''] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
  const single = outside(places).find(([own]) => own === module);
  if (single) return `${single[1]}.${kind}`;
  if (!module.startsWith(`${places.layers}.`)) return null;
  const [, block = '', part = ''] = /^(\d+)\.(.*)$/.exec(module.slice(places.layers.length + 1)) ?? [];
  const known = inBlock.find(([own]) => own === part);
  return known ? `blk.${block}.${known[1]}.${kind}` : null;
}

/** null: no tensor of a decoder of the Llama family. */
export function ownName(name: string, places: Places): string | null {
  const [, module = '', kind = ''] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
  const single = outside(places).find(([, gguf]) => gguf === module);
  if (single) return `${single[0]}.${kind}`;
  const [, block = '', part = ''] = /^blk\.(\d+)\.(.*)$/.exec(module) ?? [];
  const known = inBlock.find(([, gguf]) => gguf === part);
  return known ? `${places.layers}.${block}.${known[0]}.${kind}` : null;
}

/**
 * llama.cpp turns pairs of neighbours in the heads of the architecture llama, where the checkpoint has the two of a pair half a head apart; so many heads have
 * their rows in that order. null: rows stand as they are.
 */
export function headsInPairs(module: string, ggufArchitecture: string, facts: ArchitectureFacts): number | null {
  if (ggufArchitecture !== 'llama') return null;
  if (module.endsWith('.self_attn.q_proj')) return facts.num_attention_heads;
  return module.endsWith('.self_attn.k_proj') ? facts.num_key_value_heads : null;
}

/** For each row of the file the row of the checkpoint. */
export function pairedRows(rows: number, heads: number): Int32Array {
  const perHead = rows / heads;
  const half = perHead / 2;
  return Int32Array.from({ length: rows }, (_, row) => {
    const within = row % perHead;
    return row - within + (within % 2) * half + Math.floor(within / 2);
  });
}
