// The model's own tokenizer.json, read by a kept library: text → ids, without special tokens.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { runFailure } from '../../../schemas/src/run-failure.js';

export interface TextTokenizer {
  file: string;
  encode(text: string): number[];
}

export async function openTokenizer(modelDir: string): Promise<TextTokenizer> {
  const file = path.join(modelDir, 'tokenizer.json');
  const tokenizer = await readJson(file);
  if (tokenizer === null) throw runFailure.fileUnreadable(file, 'it is not there, and the dataset holds text');
  const config = (await readJson(path.join(modelDir, 'tokenizer_config.json'))) ?? {};
  try {
    const opened = new Tokenizer(tokenizer, config);
    return { file, encode: (text) => opened.encode(text, { add_special_tokens: false }).ids };
  } catch (error) {
    throw runFailure.tokenizerInvalid(file, error instanceof Error ? error.message : String(error));
  }
}

async function readJson(file: string): Promise<object | null> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as object;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw runFailure.tokenizerInvalid(file, error instanceof Error ? error.message : String(error));
  }
}
