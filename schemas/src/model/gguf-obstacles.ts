// Why a model cannot become a GGUF file that llama.cpp computes alike, known from headers, config.json and tokenizer.json: before a run, all of it at once.
import type { ModelDescription } from '../generated/plan.js';
import { architectureObstacles, ggufArchitecture } from './gguf-architecture.js';
import { ggufName } from './gguf-names.js';
import { tokenizerEntries, tokenizerKind, type GgufTokenizer, type TokenizerFiles } from './gguf-tokenizer.js';

/** Computed from config.json by every reader. */
export const isPassedOver = (name: string): boolean => name.endsWith('.rotary_emb.inv_freq');

/** Of the weights; each in a clause. */
export function weightObstacles(model: ModelDescription): string[] {
  const { architecture: facts, model_type } = model;
  const name = model.architecture_name ?? model_type;
  if (facts === null || ggufArchitecture(model_type) === null)
    return [
      `its architecture${name === null ? ', which config.json does not name,' : ` ${name}`} is none of those that are written (Llama, Mistral, Qwen2, Qwen3)`,
    ];
  const named = model.tensors.filter(({ name }) => !isPassedOver(name));
  const nameless = named.filter(({ name }) => ggufName(name, facts) === null);
  const odd = named.filter(({ dtype }) => dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16');
  return [
    ...architectureObstacles(facts),
    ...(nameless.length === 0 ? [] : [`GGUF has no name for ${listed(nameless)}`]),
    ...(odd.length === 0 ? [] : [`${odd[0]?.dtype} is the type of ${listed(odd)}`]),
  ];
}

const listed = (tensors: readonly { name: string }[]): string =>
  tensors.length === 1 ? (tensors[0]?.name ?? '') : `${tensors.length} tensors, first ${tensors[0]?.name ?? ''}`;

/** The kind of its tokenizer, or a clause. */
export function tokenizerObstacle(model: ModelDescription, files: TokenizerFiles): GgufTokenizer | string {
  if (files.tokenizer === null) return 'it has no tokenizer.json';
  const kind = tokenizerKind(files);
  if (typeof kind === 'string' || model.architecture === null) return kind;
  const entries = tokenizerEntries(files, kind.pre, { ...model, vocab_size: model.architecture.vocab_size });
  return typeof entries === 'string' ? entries : kind;
}
