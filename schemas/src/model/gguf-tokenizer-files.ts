// The files of a model folder that the tokenizer of a GGUF file is made from.
import path from 'node:path';
import type { ModelDescription } from '../generated/plan.js';
import type { TokenizerFiles } from './gguf-tokenizer.js';
import type { ModelFiles } from './model-files.js';

/** Throws what reading throws, and a SyntaxError for what is no JSON. A file that the folder does not have is null. */
export async function readTokenizerFiles(
  { dir, side_files }: Pick<ModelDescription, 'dir' | 'side_files'>,
  files: ModelFiles,
): Promise<TokenizerFiles> {
  const text = async (name: string): Promise<string | null> => (side_files.includes(name) ? files.readText(path.join(dir, name)) : null);
  const json = async (name: string): Promise<unknown> => JSON.parse((await text(name)) ?? 'null') as unknown;
  return {
    tokenizer: await json('tokenizer.json'),
    config: await json('tokenizer_config.json'),
    template: await text('chat_template.jinja'),
  };
}
