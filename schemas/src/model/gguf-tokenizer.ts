// tokenizer.json → the tokenizer of a GGUF file, or why llama.cpp has none like it. Two kinds are known there for these models: byte-level BPE ("gpt2", whose splitting
// of text goes by a name) and SentencePiece's BPE with bytes for what it does not know ("llama", whose merges go by scores).
// Sources: llama.cpp, src/llama-vocab.cpp (the patterns behind each name) and conversion in gguf-py 0.19 (token types).
import type { GgufValueToWrite } from './gguf-architecture.js';

type Json = Readonly<Record<string, unknown>>;
const objectOr = (value: unknown): Json => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {});
const listOr = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);

export interface TokenizerFiles {
  tokenizer: unknown;
  /** tokenizer_config.json, where there is one. */
  config: unknown;
  /** chat_template.jinja, where there is one. */
  template: string | null;
}

export interface GgufTokenizer {
  kind: 'gpt2' | 'llama';
  /** How text is split before byte pairs are merged; null: llama.cpp has no name for the pattern, or splits by none (llama). */
  pre: string | null;
  /** What tokenizer.json splits by, where `pre` is null and the kind gpt2. */
  pattern: string | null;
}

const qwen2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const llama3 = qwen2.replace('\\p{N}|', '\\p{N}{1,3}|');
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const tekken =
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** Splits in order, joined by a line; the name with ignore_merges and the one without (null: none). */
const names: readonly { pattern: string; whole: string | null; merged: string | null }[] = [
  { pattern: llama3, whole: 'llama-bpe', merged: 'dbrx' },
  { pattern: qwen2, whole: null, merged: 'qwen2' },
  { pattern: gpt2, whole: null, merged: 'gpt-2' },
  { pattern: `digits\n${gpt2}`, whole: null, merged: 'smollm' },
  { pattern: tekken, whole: 'tekken', merged: null },
];

/** Which of llama.cpp's tokenizers it is; a clause where none. */
export function tokenizerKind({ tokenizer }: Pick<TokenizerFiles, 'tokenizer'>): GgufTokenizer | string {
  const root = objectOr(tokenizer);
  const model = objectOr(root['model']);
  const type = model['type'] ?? (model['merges'] === undefined ? undefined : 'BPE');
  if (type !== 'BPE') return `its model is ${JSON.stringify(type ?? null)}, and BPE alone is written`;
  if (listOr(model['merges']).length === 0) return 'its BPE has no merges';
  if (model['byte_fallback'] === true) return sentencePiece(root, model);
  const steps = partsOf(root['pre_tokenizer'], 'pretokenizers');
  if (!steps.some((step) => step['type'] === 'ByteLevel')) return 'its BPE works neither on bytes (ByteLevel) nor with byte_fallback';
  const pattern = splitPattern(steps);
  const known = names.find((name) => name.pattern === pattern);
  const pre = known === undefined ? null : model['ignore_merges'] === true ? known.whole : known.merged;
  return { kind: 'gpt2', pre, pattern: pre === null ? pattern.replaceAll('\n', ', then ') : null };
}

/** Steps of a sequence, or the one that stands alone. */
function partsOf(value: unknown, key: string): Json[] {
  const step = objectOr(value);
  return step['type'] === 'Sequence'
    ? listOr(step[key]).flatMap((part) => partsOf(part, key))
    : Object.keys(step).length === 0
      ? []
      : [step];
}

const splitPattern = (steps: readonly Json[]): string =>
  steps
    .flatMap((step) => {
      if (step['type'] === 'Split') return [String(objectOr(step['pattern'])['Regex'] ?? objectOr(step['pattern'])['String'] ?? '')];
      if (step['type'] === 'Digits') return [step['individual_digits'] === true ? 'digits' : 'runs of digits'];
      if (step['type'] === 'ByteLevel') return step['use_regex'] === false ? [] : [gpt2];
      return [String(step['type'])];
    })
    .join('\n');

function sentencePiece(root: Json, model: Json): GgufTokenizer | string {
  const normalizers = partsOf(root['normalizer'], 'normalizers');
  const steps = partsOf(root['pre_tokenizer'], 'pretokenizers');
  const known = (step: Json): boolean =>
    step['type'] === 'Prepend' || (step['type'] === 'Replace' && objectOr(step['pattern'])['String'] === ' ' && step['content'] === '▁');
  const odd = normalizers.find((step) => !known(step)) ?? steps.find((step) => step['type'] !== 'Metaspace');
  if (odd !== undefined) return `its SentencePiece BPE has a step ${JSON.stringify(odd['type'])}, which llama.cpp does not do`;
  if (mergeScores(model) === null) return 'its merges are in an order that scores of tokens cannot give';
  return { kind: 'llama', pre: null, pattern: null };
}

const mergedPair = (merge: unknown): [string, string] => {
  const [left = '', right = ''] = Array.isArray(merge) ? (merge as string[]) : String(merge).split(' ');
  return [left, right];
};

/** Token → minus the rank of its first merge; null where merges of another token stand between those of one: scores know tokens alone. */
function mergeScores(model: Json): Map<string, number> | null {
  const scores = new Map<string, number>();
  let last = '';
  for (const [rank, merge] of listOr(model['merges']).entries()) {
    const token = mergedPair(merge).join('');
    if (token !== last && scores.has(token)) return null;
    if (!scores.has(token)) scores.set(token, -rank);
    last = token;
  }
  return scores;
}

/** llama.cpp's kinds of tokens. */
const tokenTypes = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 } as const;

/** The entries of a tokenizer that `tokenizerKind` knows; `pre` as the plan has it. A clause where the tokens are not those of the model. */
export function tokenizerEntries(
  { tokenizer, config, template }: TokenizerFiles,
  pre: string | null,
  model: { vocab_size: number; bos_token_id: number | null; eos_token_id: readonly number[] },
): GgufValueToWrite[] | string {
  const kind = tokenizerKind({ tokenizer });
  if (typeof kind === 'string') return kind;
  const root = objectOr(tokenizer);
  const bpe = objectOr(root['model']);
  const added = listOr(root['added_tokens']).map(objectOr);
  const tokens: (string | undefined)[] = new Array<undefined>(model.vocab_size).fill(undefined);
  for (const [token, id] of Object.entries(objectOr(bpe['vocab']))) if (typeof id === 'number') tokens[id] = token;
  const specials = new Map<number, boolean>();
  for (const { id, content, special } of added) {
    if (typeof id !== 'number' || typeof content !== 'string') continue;
    tokens[id] = content;
    specials.set(id, special === true);
  }
  if (tokens.length > model.vocab_size) return `it has ${tokens.length} tokens and the model's embedding ${model.vocab_size} rows`;
  const scores = kind.kind === 'llama' ? mergeScores(bpe) : null;
  const unknown = bpe['unk_token'];
  const types = Array.from(tokens, (token, id) => {
    if (token === undefined) return tokenTypes.unused;
    if (kind.kind === 'llama' && token === unknown) return tokenTypes.unknown;
    const special = specials.get(id);
    if (special !== undefined) return special ? tokenTypes.control : tokenTypes.user;
    return kind.kind === 'llama' && /^<0x[0-9A-F]{2}>$/.test(token) ? tokenTypes.byte : tokenTypes.normal;
  });
  const idOf = (text: unknown): number | null => {
    const id = typeof text === 'string' ? tokens.indexOf(text) : -1;
    return id < 0 ? null : id;
  };
  const settings = objectOr(config);
  const special = (key: string): number | null =>
    idOf(typeof settings[key] === 'string' ? settings[key] : objectOr(settings[key])['content']);
  const bos = special('bos_token') ?? model.bos_token_id;
  const ids = {
    bos_token_id: bos,
    eos_token_id: special('eos_token') ?? model.eos_token_id[0] ?? null,
    unknown_token_id: kind.kind === 'llama' ? idOf(unknown) : null,
    padding_token_id: special('pad_token'),
  };
  const text = templateOf(settings, template);
  const list = Array.from(tokens, (token, id) => token ?? `[PAD${id}]`);
  return [
    { key: 'tokenizer.ggml.model', type: 'string', value: kind.kind },
    ...(kind.kind === 'gpt2' && pre !== null ? [{ key: 'tokenizer.ggml.pre', type: 'string', value: pre } as const] : []),
    { key: 'tokenizer.ggml.tokens', type: 'array', of: 'string', values: list },
    ...(scores === null
      ? []
      : [
          {
            key: 'tokenizer.ggml.scores',
            type: 'array',
            of: 'float32',
            // What no merge makes stands behind all merges.
            values: list.map((token, id) => scores.get(token) ?? -scores.size - id),
          } as const,
        ]),
    { key: 'tokenizer.ggml.token_type', type: 'array', of: 'int32', values: types },
    ...(kind.kind === 'gpt2'
      ? [
          {
            key: 'tokenizer.ggml.merges',
            type: 'array',
            of: 'string',
            values: listOr(bpe['merges']).map((merge) => mergedPair(merge).join(' ')),
          } as const,
        ]
      : []),
    ...Object.entries(ids).flatMap(([key, value]) =>
      value === null || value >= model.vocab_size ? [] : [{ key: `tokenizer.ggml.${key}`, type: 'uint32', value } as const],
    ),
    { key: 'tokenizer.ggml.add_bos_token', type: 'bool', value: bos !== null && addsBos(root, settings, bos) },
    { key: 'tokenizer.ggml.add_eos_token', type: 'bool', value: settings['add_eos_token'] === true },
    ...(kind.kind === 'llama' ? [{ key: 'tokenizer.ggml.add_space_prefix', type: 'bool', value: prefixesSpace(root) } as const] : []),
    ...(text === null ? [] : [{ key: 'tokenizer.chat_template', type: 'string', value: text } as const]),
  ];
}

/** As the tokenizer of a run decides it (worker/src/calibration/tokenizer.ts): the setting, then the template, then whether there is such a token at all. */
function addsBos(root: Json, settings: Json, bos: number): boolean {
  if (typeof settings['add_bos_token'] === 'boolean') return settings['add_bos_token'];
  const template = partsOf(root['post_processor'], 'processors').find(({ type }) => type === 'TemplateProcessing');
  if (template === undefined) return settings['bos_token'] !== null;
  const [first] = listOr(template['single']).map(objectOr);
  const id = objectOr(first?.['SpecialToken'])['id'];
  return typeof id === 'string' && listOr(objectOr(objectOr(template['special_tokens'])[id])['ids']).includes(bos);
}

function prefixesSpace(root: Json): boolean {
  const metaspace = partsOf(root['pre_tokenizer'], 'pretokenizers').find(({ type }) => type === 'Metaspace');
  if (metaspace !== undefined) return metaspace['prepend_scheme'] !== 'never' && metaspace['add_prefix_space'] !== false;
  return partsOf(root['normalizer'], 'normalizers').some(({ type }) => type === 'Prepend');
}

/** The one without a name, or that named default. */
function templateOf(settings: Json, file: string | null): string | null {
  if (file !== null) return file;
  const said = settings['chat_template'];
  if (typeof said === 'string') return said;
  const named = listOr(said).map(objectOr);
  const chosen = named.find(({ name }) => name === 'default') ?? named[0];
  return typeof chosen?.['template'] === 'string' ? chosen['template'] : null;
}
