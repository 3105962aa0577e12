// Tokenizers of a few tokens, for models that become GGUF files: SentencePiece's BPE with bytes, as Llama 2 has it, and BPE on bytes, as GPT-2 has it.

/** `size`: tokens in all, at least 265; what the names do not fill are letters that no text has. */
export function sentencePieceTokenizer(size = 265): object {
  const pieces = [
    '<unk>',
    '<s>',
    '</s>',
    ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  ];
  pieces.push('▁', 'a', 'b', '▁a', 'ab', '▁ab');
  while (pieces.length < size) pieces.push(String.fromCodePoint(0x4e00 + pieces.length));
  return {
    added_tokens: ['<unk>', '<s>', '</s>'].map((content, id) => ({ id, content, special: true, normalized: false })),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }],
    },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: ['▁ a', 'a b', '▁ ab', '▁a b'],
    },
  };
}

/** Splits text by a pattern; null: GPT-2's own, which is that of ByteLevel. */
export function byteLevelTokenizer(pattern: string | null, merges: readonly string[] = ['a b']): object {
  const letters = [...'!"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyzĠĊ'];
  const tokens = [...letters, ...merges.map((merge) => merge.replace(' ', ''))];
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: pattern === null };
  return {
    added_tokens: [
      { id: tokens.length, content: '<|end|>', single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    ],
    normalizer: null,
    pre_tokenizer:
      pattern === null
        ? bytes
        : { type: 'Sequence', pretokenizers: [{ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false }, bytes] },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges },
  };
}
