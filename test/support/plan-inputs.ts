// Models by their sizes alone, for tests of plans and estimates: no file is written.
import type { LayerPlan, ModelDescription, QuantizationScheme } from '../../schemas/src/generated/plan.js';
import { readConfig } from '../../schemas/src/model/model-config.js';
import { dtypeBytes } from '../../schemas/src/model/safetensors-header.js';

export interface ModelSizes {
  hidden: number;
  intermediate: number;
  blocks: number;
  vocabulary: number;
  heads: number;
  kvHeads: number;
  dtype: 'F32' | 'BF16';
}

/** An untied Llama. */
export function describedLlama(sizes: ModelSizes): ModelDescription {
  const { hidden, intermediate, blocks, vocabulary, heads, kvHeads, dtype } = sizes;
  const tensors: ModelDescription['tensors'] = [];
  const modules: ModelDescription['modules'] = {};
  let offset = 0;
  const add = (name: string, shape: number[], moduleClass: 'Linear' | 'Embedding' | null): void => {
    const bytes = shape.reduce((product, extent) => product * extent, dtypeBytes[dtype]);
    tensors.push({ name: `${name}.weight`, file: 'model.safetensors', dtype, shape, offset, bytes });
    offset += bytes;
    if (moduleClass !== null) modules[name] = moduleClass;
  };
  const kv = (hidden / heads) * kvHeads;
  add('model.embed_tokens', [vocabulary, hidden], 'Embedding');
  for (let block = 0; block < blocks; block += 1) {
    const at = `model.layers.${block}`;
    add(`${at}.input_layernorm`, [hidden], null);
    add(`${at}.post_attention_layernorm`, [hidden], null);
    for (const [role, rows] of Object.entries({ q_proj: hidden, k_proj: kv, v_proj: kv, o_proj: hidden }))
      add(`${at}.self_attn.${role}`, [rows, hidden], 'Linear');
    add(`${at}.mlp.gate_proj`, [intermediate, hidden], 'Linear');
    add(`${at}.mlp.up_proj`, [intermediate, hidden], 'Linear');
    add(`${at}.mlp.down_proj`, [hidden, intermediate], 'Linear');
  }
  add('model.norm', [hidden], null);
  add('lm_head', [vocabulary, hidden], 'Linear');
  const { architecture } = readConfig({
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: blocks,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    vocab_size: vocabulary,
    max_position_embeddings: 2048,
  });
  return {
    dir: '/models/described',
    model_type: 'llama',
    architecture_name: 'LlamaForCausalLM',
    architecture,
    dtype,
    files: [{ name: 'model.safetensors', size: offset, header_sha256: '0'.repeat(64) }],
    tensors,
    modules,
    side_files: [],
    bos_token_id: 1,
    eos_token_id: [2],
    quantization: null,
  };
}

const recipe_path = ['q_stage', 'q_modifiers', 'M'];

/** Every linear of the blocks with one scheme; embedding and head stay. */
export function layersOf(model: ModelDescription, scheme: QuantizationScheme, quantizer: 'rtn' | 'gptq'): LayerPlan[] {
  return model.tensors
    .filter(({ shape }) => shape.length === 2)
    .map(({ name: tensor, shape, dtype }) => {
      const name = tensor.replace(/\.weight$/, '');
      const block = /\.layers\.(\d+)\./.exec(name)?.[1];
      return {
        name,
        tensor,
        kind: model.modules[name] ?? 'Other',
        rows: shape[0] ?? 0,
        columns: shape[1] ?? 0,
        dtype,
        block: block === undefined ? null : Number(block),
        role: name.slice(name.lastIndexOf('.') + 1),
        scheme: block === undefined ? null : scheme,
        quantizer:
          block === undefined
            ? null
            : quantizer === 'gptq'
              ? { name: 'gptq', modifier: 'GPTQModifier', recipe_path, block_size: 128, dampening_frac: 0.01, offload_hessians: false }
              : { name: 'rtn', modifier: 'QuantizationModifier', recipe_path },
        tied_to: null,
      };
    });
}
