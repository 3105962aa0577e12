// What the benchmark works on: a recipe of 2,000 lines, models that are headers alone, and the recipe schema in one file.
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const bytesOf = { BF16: 2, F32: 4, F8_E4M3: 1 };

/** Llama blocks, seven linear layers each: 1,428 of them and lm_head are 9,997 layers. */
export const llamaBlocks = 1428;

export function llamaTensors() {
  const [hidden, mlp, vocabulary] = [4096, 11008, 32000];
  const tensors = [
    ['model.embed_tokens.weight', [vocabulary, hidden]],
    ['model.norm.weight', [hidden]],
    ['lm_head.weight', [vocabulary, hidden]],
  ];
  for (let block = 0; block < llamaBlocks; block += 1) {
    const add = (name, ...shape) => tensors.push([`model.layers.${block}.${name}.weight`, shape]);
    for (const role of ['q_proj', 'k_proj', 'v_proj', 'o_proj']) add(`self_attn.${role}`, hidden, hidden);
    for (const role of ['gate_proj', 'up_proj']) add(`mlp.${role}`, mlp, hidden);
    add('mlp.down_proj', hidden, mlp);
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) add(norm, hidden);
  }
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: mlp,
    num_hidden_layers: llamaBlocks,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    vocab_size: vocabulary,
    max_position_embeddings: 4096,
    tie_word_embeddings: false,
  };
  return { config, tensors: tensors.map(([name, shape]) => ({ name, shape, dtype: 'BF16' })) };
}

/** The names and shapes of DeepSeek-V3 (61 blocks, 58 of them with 256 experts, 8-bit floats with a scale per tile): about 680 GB. */
export function deepseekTensors() {
  const [hidden, mlp, expert] = [7168, 18432, 2048];
  const tensors = [];
  const add = (name, shape, dtype) => tensors.push({ name, shape, dtype });
  const linear = (name, rows, columns) => {
    add(`${name}.weight`, [rows, columns], 'F8_E4M3');
    add(`${name}.weight_scale_inv`, [Math.ceil(rows / 128), Math.ceil(columns / 128)], 'F32');
  };
  add('model.embed_tokens.weight', [129280, hidden], 'BF16');
  add('lm_head.weight', [129280, hidden], 'BF16');
  add('model.norm.weight', [hidden], 'BF16');
  const gated = (at, size) => {
    for (const role of ['gate_proj', 'up_proj']) linear(`${at}.${role}`, size, hidden);
    linear(`${at}.down_proj`, hidden, size);
  };
  for (let block = 0; block < 61; block += 1) {
    const at = `model.layers.${block}`;
    linear(`${at}.self_attn.q_a_proj`, 1536, hidden);
    linear(`${at}.self_attn.q_b_proj`, 24576, 1536);
    linear(`${at}.self_attn.kv_a_proj_with_mqa`, 576, hidden);
    linear(`${at}.self_attn.kv_b_proj`, 32768, 512);
    linear(`${at}.self_attn.o_proj`, hidden, 16384);
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) add(`${at}.${norm}.weight`, [hidden], 'BF16');
    if (block < 3) {
      gated(`${at}.mlp`, mlp);
      continue;
    }
    add(`${at}.mlp.gate.weight`, [256, hidden], 'BF16');
    gated(`${at}.mlp.shared_experts`, expert);
    for (let index = 0; index < 256; index += 1) gated(`${at}.mlp.experts.${index}`, expert);
  }
  const config = { architectures: ['DeepseekV3ForCausalLM'], model_type: 'deepseek_v3', hidden_size: hidden, num_hidden_layers: 61 };
  return { config, tensors };
}

/** Writes config, index and shards; of each shard only the header takes room on the disk, the weights are a hole in the file. */
export function writeModel(dir, { config, tensors }, shards) {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'config.json'), JSON.stringify(config));
  const weight_map = {};
  let total = 0;
  for (let shard = 0; shard < shards; shard += 1) {
    const file = `model-${String(shard + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`;
    const header = { __metadata__: { format: 'pt' } };
    let offset = 0;
    const begin = Math.floor((shard * tensors.length) / shards);
    for (const { name, shape, dtype } of tensors.slice(begin, Math.floor(((shard + 1) * tensors.length) / shards))) {
      const size = shape.reduce((product, extent) => product * extent, bytesOf[dtype]);
      header[name] = { dtype, shape, data_offsets: [offset, offset + size] };
      weight_map[name] = file;
      offset += size;
    }
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const handle = openSync(path.join(dir, file), 'w');
    writeSync(handle, length);
    writeSync(handle, text);
    ftruncateSync(handle, 8 + text.length + offset);
    closeSync(handle);
    total += offset;
  }
  writeFileSync(path.join(dir, 'model.safetensors.index.json'), JSON.stringify({ metadata: { total_size: total }, weight_map }));
  return total;
}

const groupCount = 119;

/** 2,000 lines: a group for every twelve blocks with seven patterns and a full name, and a list of layers to ignore. */
export function longRecipe() {
  const lines = [
    'model: model',
    'output:',
    '  dir: out',
    'quant_stage:',
    '  quant_modifiers:',
    '    QuantizationModifier:',
    '      config_groups:',
  ];
  for (let group = 0; group < groupCount; group += 1) {
    const blocks = Array.from({ length: llamaBlocks / groupCount }, (_, i) => group * (llamaBlocks / groupCount) + i);
    lines.push(`        group_${String(group).padStart(3, '0')}:`, '          targets:');
    for (const part of [
      'self_attn.q_proj',
      'self_attn.k_proj',
      'self_attn.v_proj',
      'self_attn.o_proj',
      'mlp.gate_proj',
      'mlp.up_proj',
      'mlp.down_proj',
    ])
      lines.push(`            - 're:model\\.layers\\.(${blocks.join('|')})\\.${part.replace('.', '\\.')}$'`);
    lines.push(`            - model.layers.${blocks[0]}.mlp.down_proj`);
    lines.push(
      '          weights:',
      `            num_bits: ${group % 2 === 0 ? 4 : 8}`,
      '            type: int',
      '            symmetric: true',
    );
    lines.push('            strategy: group', '            group_size: 128');
  }
  lines.push('      ignore:', '        - lm_head');
  for (let block = 0; lines.length < 2000; block += 1) lines.push(`        - model.layers.${block * 7 + 5}.mlp.down_proj`);
  return `${lines.join('\n')}\n`;
}

/** The recipe schema with every reference written out, for a server that gets one file. */
export function schemaInOneFile() {
  const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', 'schemas');
  const read = (file) => JSON.parse(readFileSync(path.join(root, file), 'utf8'));
  const written = (node, file) => {
    if (Array.isArray(node)) return node.map((item) => written(item, file));
    if (typeof node !== 'object' || node === null) return node;
    if (typeof node.$ref === 'string') {
      const [name, fragment = ''] = node.$ref.split('#');
      const target = name === '' ? file : path.posix.join(path.posix.dirname(file), name);
      const found = fragment
        .split('/')
        .filter(Boolean)
        .reduce((part, step) => part[step], read(target));
      return written(found, target);
    }
    return Object.fromEntries(
      Object.entries(node)
        .filter(([key]) => key !== '$id' && key !== '$defs')
        .map(([key, value]) => [key, written(value, file)]),
    );
  };
  return written(read('recipe.schema.json'), 'recipe.schema.json');
}
