// Which weights an architecture has, in which shapes, by what its config.json says: compared with the tensors of a folder, where the two contradict.
import type { ArchitectureFacts, ModelDescription } from '../generated/plan.js';

export type ExpectedTensor = [name: string, shape: readonly number[]];

/** Every weight that a forward pass reads. Biases, buffers and whatever else stands beside them are left alone. */
export function expectedTensors(facts: ArchitectureFacts): ExpectedTensor[] {
  const { hidden_size, intermediate_size, vocab_size, head_dim } = facts;
  const [queries, keys] = [facts.num_attention_heads * head_dim, facts.num_key_value_heads * head_dim];
  const block: ExpectedTensor[] = [
    ['input_layernorm', [hidden_size]],
    ['self_attn.q_proj', [queries, hidden_size]],
    ['self_attn.k_proj', [keys, hidden_size]],
    ['self_attn.v_proj', [keys, hidden_size]],
    ['self_attn.o_proj', [hidden_size, queries]],
    ['post_attention_layernorm', [hidden_size]],
    ['mlp.gate_proj', [intermediate_size, hidden_size]],
    ['mlp.up_proj', [intermediate_size, hidden_size]],
    ['mlp.down_proj', [hidden_size, intermediate_size]],
  ];
  if (facts.qk_norm) block.push(['self_attn.q_norm', [head_dim]], ['self_attn.k_norm', [head_dim]]);
  const modules: ExpectedTensor[] = [[facts.embed_tokens, [vocab_size, hidden_size]]];
  for (let index = 0; index < facts.num_hidden_layers; index += 1)
    modules.push(...block.map(([name, shape]): ExpectedTensor => [`${facts.layers}.${index}.${name}`, shape]));
  modules.push([facts.norm, [hidden_size]]);
  if (!facts.tie_word_embeddings) modules.push([facts.lm_head, [vocab_size, hidden_size]]);
  return modules.map(([name, shape]) => [`${name}.weight`, shape]);
}

/**
 * Weights in the shapes of another config.json, and another number of blocks. Any other weight that is missing counts for a model that is run: a folder may
 * hold an encoder without a head, or under names of its own, whose weights can be quantized all the same.
 */
export function contradictions({ tensors }: ModelDescription, facts: ArchitectureFacts, isRun: boolean): string[] {
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
  const found = blockContradictions(tensors, facts);
  for (const [name, shape] of expectedTensors(facts)) {
    const has = shapes.get(name);
    if (has === undefined ? isRun : has.join() !== shape.join())
      found.push(
        has === undefined ? `${name} is missing` : `${name} is [${has.join(', ')}] where config.json implies [${shape.join(', ')}]`,
      );
  }
  return found;
}

/** Blocks beyond the last of config.json, or a last one that has no weight; nothing where no block bears the names of the architecture. */
export function blockContradictions(tensors: ModelDescription['tensors'], { layers, num_hidden_layers }: ArchitectureFacts): string[] {
  const first = new Map<number, ModelDescription['tensors'][number]>();
  for (const tensor of tensors) {
    if (!tensor.name.startsWith(`${layers}.`) || !/\.(self_attn|mlp)\.[a-z]+_proj\.weight/.test(tensor.name)) continue;
    const index = Number(tensor.name.slice(layers.length + 1).split('.')[0]);
    if (!first.has(index)) first.set(index, tensor);
  }
  const last = Math.max(...first.keys());
  if (first.size === 0 || last === num_hidden_layers - 1) return [];
  const { name = '', shape = [] } = first.get(last) ?? {};
  return [`${name} [${shape.join(', ')}] is of the last block, ${last}, where num_hidden_layers of config.json is ${num_hidden_layers}`];
}
