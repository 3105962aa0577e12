// What tokenizer_config.json says that concerns rows of text: the BOS token, and whether conversations have a template. tokenizer.json, which may have tens of megabytes, is not read.
import path from 'node:path';
import type { ModelDescription } from '../generated/plan.js';
import type { ModelFiles } from './model-files.js';

export interface TokenizerFacts {
  /** Each null where it is not said. */
  bos: { text: string | null; id: number | null };
  hasChatTemplate: boolean;
}

type Json = Readonly<Record<string, unknown>>;
const objectOr = (value: unknown): Json => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {});

/** A description is of one state of its folder, and so is what stands beside it. */
const kept = new WeakMap<ModelDescription, Promise<TokenizerFacts | null>>();

/** null where the file is there and cannot be read; a run says so. */
export function readTokenizerFacts(model: ModelDescription, files: ModelFiles): Promise<TokenizerFacts | null> {
  const known = kept.get(model);
  if (known !== undefined) return known;
  const facts = read(model, files);
  kept.set(model, facts);
  return facts;
}

async function read(model: ModelDescription, files: ModelFiles): Promise<TokenizerFacts | null> {
  const ownTemplate = model.side_files.some((name) => name === 'chat_template.jinja' || name === 'chat_template.json');
  if (!model.side_files.includes('tokenizer_config.json'))
    return { bos: { text: null, id: model.bos_token_id }, hasChatTemplate: ownTemplate };
  let config: Json;
  try {
    config = objectOr(JSON.parse(await files.readText(path.join(model.dir, 'tokenizer_config.json'))));
  } catch {
    return null; // the worker refuses such a tokenizer, with the place
  }
  const token = config['bos_token'];
  const text = typeof token === 'string' ? token : objectOr(token)['content'];
  const template = config['chat_template'];
  return {
    bos: typeof text === 'string' && text !== '' ? { text, id: idOf(text, config) ?? model.bos_token_id } : { text: null, id: null },
    hasChatTemplate: ownTemplate || typeof template === 'string' || (Array.isArray(template) && template.length > 0),
  };
}

/** null where the file does not list it, as older tokenizers do. */
function idOf(text: string, config: Json): number | null {
  const found = Object.entries(objectOr(config['added_tokens_decoder'])).find(([, token]) => objectOr(token)['content'] === text);
  return found === undefined ? null : Number(found[0]);
}
