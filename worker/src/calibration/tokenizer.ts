// The model's own tokenizer.json, read by a kept library: text → ids; and the token that the tokenizer puts before a text.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { runFailure } from '../../../schemas/src/run-failure.js';

export interface TextTokenizer {
  file: string;
  /** Without special tokens of the template; those that stand in the text are recognized. */
  encode(text: string): number[];
  /** Without special tokens. */
  decode(ids: readonly number[]): string;
  /** The token before every text; null: none; undefined: the tokenizer does not say, and config.json decides. */
  bos: number | null | undefined;
}

export async function openTokenizer(modelDir: string): Promise<TextTokenizer> {
  const file = path.join(modelDir, 'tokenizer.json');
  const tokenizer = await readJson(file);
  if (tokenizer === null) throw runFailure.fileUnreadable(file, 'it is not there, and the dataset holds text');
  const config = (await readJson(path.join(modelDir, 'tokenizer_config.json'))) ?? {};
  try {
    const opened = new Tokenizer(tokenizer, config);
    return {
      file,
      encode: (text) => opened.encode(text, { add_special_tokens: false }).ids,
      decode: (ids) => (ids.length === 0 ? '' : opened.decode([...ids], { skip_special_tokens: true })),
      bos: leadingToken(tokenizer, config, (token) => opened.token_to_id(token) ?? null),
    };
  } catch (error) {
    throw runFailure.tokenizerInvalid(file, error instanceof Error ? error.message : String(error));
  }
}

type Json = Record<string, unknown>;
const objectOr = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {});

/**
 * What transformers would put first, in the order of its sources: add_bos_token of tokenizer_config.json, the template of tokenizer.json,
 * and "bos_token": null, by which Qwen says that it has none. config.json alone misleads: DeepSeek-R1-Distill-Qwen names another token there.
 */
function leadingToken(tokenizer: Json, config: Json, idOf: (token: string) => number | null): number | null | undefined {
  const { add_bos_token, bos_token } = config;
  if (add_bos_token === false) return null;
  if (add_bos_token === true) {
    const token = typeof bos_token === 'string' ? bos_token : objectOr(bos_token)['content'];
    const id = typeof token === 'string' ? idOf(token) : null;
    if (id === null)
      throw new Error(`tokenizer_config.json says add_bos_token and its bos_token ${JSON.stringify(token)} is not in the vocabulary`);
    return id;
  }
  const template = findTemplate(tokenizer['post_processor']);
  if (template !== null) {
    const [first] = Array.isArray(template['single']) ? (template['single'] as Json[]) : [];
    const token = objectOr(first?.['SpecialToken'])['id'];
    return typeof token === 'string' ? idOf(token) : null;
  }
  return bos_token === null ? null : undefined;
}

function findTemplate(processor: unknown): Json | null {
  const { type, processors } = objectOr(processor);
  if (type === 'TemplateProcessing') return objectOr(processor);
  return (Array.isArray(processors) ? processors : []).map(findTemplate).find((template) => template !== null) ?? null;
}

async function readJson(file: string): Promise<Json | null> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw runFailure.tokenizerInvalid(file, error instanceof Error ? error.message : String(error));
  }
  if (typeof value !== 'object' || value === null) throw runFailure.tokenizerInvalid(file, 'it is not a JSON object');
  return value as Json;
}
