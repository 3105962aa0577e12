// The folder that the recipes of docs/problems stand in: models of several kinds beside a file of texts.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { CheckedRecipe } from '../../server/src/checks/check-recipe.js';
import { ggufImatrix, type ImatrixSums } from './imatrix-files.js';
import { tinyLlama, writeModel } from './model-fixture.js';
import type { TinyModel } from './model-fixture.js';
import { checkIn } from './recipe-fixture.js';
import { byteLevelTokenizer, sentencePieceTokenizer } from './small-tokenizer.js';

export function writePageFolder(dir: string): void {
  const llama = doubled(tinyLlama({ intermediate: 192 }));
  writeModel(path.join(dir, 'model'), llama);
  const phantom = { model_type: 'phantom', architectures: ['PhantomForCausalLM'] };
  writeModel(path.join(dir, 'phantom'), { ...llama, config: { ...llama.config, ...phantom } });
  writeModel(path.join(dir, 'mixed-up'), { ...llama, config: { ...llama.config, intermediate_size: 256 } });
  const { 'lm_head.weight': _head, ...tensors } = llama.tensors;
  writeModel(path.join(dir, 'tied'), { config: { ...llama.config, tie_word_embeddings: true }, tensors });
  const group = { targets: ['Linear'], weights: { num_bits: 8, type: 'int', strategy: 'channel' } };
  const quantization_config = { quant_method: 'compressed-tensors', format: 'pack-quantized', config_groups: { group_0: group } };
  writeModel(path.join(dir, 'model-w8a16'), { ...llama, config: { ...llama.config, quantization_config } });
  writeModel(path.join(dir, 'cut-off'), llama);
  writeFileSync(path.join(dir, 'cut-off', 'model.safetensors'), 'cut off');
  mkdirSync(path.join(dir, 'half'));
  const weight_map = { 'lm_head.weight': 'model-00001-of-00002.safetensors', 'model.norm.weight': 'model-00002-of-00002.safetensors' };
  writeFileSync(path.join(dir, 'half', 'model.safetensors.index.json'), JSON.stringify({ weight_map }));
  writeModel(path.join(dir, 'moe'), withExperts(llama));
  writeModel(path.join(dir, 'moe-in-one-tensor'), withExpertsInOneTensor(llama));
  writeModel(path.join(dir, 'deep'), tinyLlama({ blocks: 12 }));
  for (const [name, vocab_size, tokenizer] of [
    ['sentencepiece', 265, sentencePieceTokenizer()],
    ['own-splits', 128, byteLevelTokenizer('[a-z]+|.')],
  ] as const) {
    writeModel(path.join(dir, name), doubled(tinyLlama({ intermediate: 192, vocabulary: vocab_size / 2 }), vocab_size));
    writeFileSync(path.join(dir, name, 'tokenizer.json'), JSON.stringify(tokenizer));
  }
  const parts = { attn_q: 128, attn_k: 128, attn_v: 128, attn_output: 128, ffn_gate: 128, ffn_up: 128, ffn_down: 384 };
  for (const [name, blocks] of Object.entries({ imatrix: [0, 1], 'imatrix-of-one-block': [0], 'imatrix-of-another': [30, 31] })) {
    const inBlocks = blocks.flatMap((block) => Object.entries(parts).map(([part, columns]) => [`blk.${block}.${part}`, columns] as const));
    const all = blocks.includes(0) ? [...inBlocks, ['output', 128] as const] : inBlocks;
    const entries = all.map(([tensor, columns]) => [`${tensor}.weight`, { sums: Array<number>(columns).fill(1), count: 1 }]);
    writeFileSync(path.join(dir, `${name}.gguf`), ggufImatrix(Object.fromEntries(entries) as Record<string, ImatrixSums>));
  }
  const config = { bos_token: '<s>', added_tokens_decoder: { 1: { content: '<s>' } } };
  for (const name of ['model', 'deep', 'moe', 'phantom', 'tied'])
    writeFileSync(path.join(dir, name, 'tokenizer.json'), JSON.stringify(byteLevelTokenizer('[a-z]+|.')));
  writeModel(path.join(dir, 'no-tokenizer'), llama);
  mkdirSync(path.join(dir, 'pictures'));
  writeFileSync(path.join(dir, 'pictures', 'cat.png'), '');
  writeFileSync(path.join(dir, 'model', 'tokenizer_config.json'), JSON.stringify(config));
  for (const [name, row] of Object.entries({
    rows: { text: 'a' },
    gaps: { text: '' },
    questions: { prompt: 'a' },
    chats: { messages: [{ role: 'user', content: 'a' }] },
    doubled: { text: '<s><s>a' },
    broken: ['a'],
  }))
    writeFileSync(path.join(dir, `${name}.jsonl`), `${JSON.stringify(row)}\n`.repeat(8));
}

/** Its MLPs become two experts behind a router, named as Qwen names them. */
export function withExperts({ config, tensors }: TinyModel): TinyModel {
  const routed = Object.entries(tensors).flatMap(([name, shape]): [string, number[]][] => {
    if (!name.includes('.mlp.')) return [[name, shape]];
    const experts = [0, 1].map((index): [string, number[]] => [name.replace('.mlp.', `.mlp.experts.${index}.`), shape]);
    return name.includes('gate_proj') ? [[name.replace('gate_proj', 'gate'), [2, shape[1] ?? 0]], ...experts] : experts;
  });
  const named = { model_type: 'qwen3_moe', architectures: ['Qwen3MoeForCausalLM'] };
  return { config: { ...config, ...named }, tensors: Object.fromEntries(routed) };
}

/** The same two experts in one tensor for each projection. */
function withExpertsInOneTensor(llama: TinyModel): TinyModel {
  const { config, tensors } = withExperts(llama);
  const joined = Object.entries(tensors).map(([name, shape]): [string, number[]] =>
    name.includes('.experts.') ? [name.replace(/\.\d+(\.\w+)\.weight$/, '$1'), [2, ...shape]] : [name, shape],
  );
  return { config, tensors: Object.fromEntries(joined) };
}

/** Layers of 128 and 384 columns, which the groups of the presets divide. */
export function doubled({ config, tensors }: TinyModel, vocab_size = 64): TinyModel {
  const shapes = Object.entries(tensors).map(([name, shape]) => [name, shape.map((extent) => extent * 2)]);
  return {
    config: { ...config, hidden_size: 128, intermediate_size: 384, vocab_size },
    tensors: Object.fromEntries(shapes) as TinyModel['tensors'],
  };
}

/** The recipe of a page as the editor would check it; two pages speak of a setting that their text alone cannot show. */
export function checkPageIn(dir: string, text: string, code: string, isMended: boolean): Promise<CheckedRecipe> {
  const isUnsaved = code === 'recipe-not-saved' && !isMended;
  const lastLine = text.trimEnd().split('\n').at(-1) ?? '';
  const repeated = code === 'recipe-too-long' && !isMended ? `${lastLine}\n`.repeat(Math.ceil(4_000_000 / lastLine.length)) : '';
  return checkIn(dir, text + repeated, {
    ...(isUnsaved ? { recipePath: null, baseDir: null } : {}),
    // One folder stands on a volume that is full.
    freeBytes: (folder) => Promise.resolve(folder.startsWith(path.join(dir, 'full')) ? 4096 : null),
  });
}
