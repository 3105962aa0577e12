// The contract of a model family: a forward pass in pieces, over weights that come by name, so that one description of the model runs
// its own weights, transformed ones and quantized ones. Types only.
import type { Tensor } from '../tensor/tensor.js';

/** Documents that lie behind each other; attention does not cross their borders. Tensors belong to whoever made the batch. */
export interface TokenBatch {
  /** I32 [tokens]. */
  readonly ids: Tensor;
  /** I32 [tokens], beginning at 0 in every document. */
  readonly positionIds: Tensor;
  /** I32 [documents + 1]. */
  readonly documentOffsets: Tensor;
  /** The same numbers for JavaScript: document i has the tokens offsets[i] … offsets[i + 1]. */
  readonly offsets: readonly number[];
  /** Number of document 0 among all rows. */
  readonly firstDocument: number;
  readonly nTokens: number;
  /** Tokens by number, for targets and messages. */
  readonly tokens: Int32Array;
  /** Of a single document, where memory is short: what needs no other row is computed for so many at a time (by-rows.ts). */
  readonly rowsAtATime?: number;
  /** In place of attention within the batch: for decoding, where earlier tokens are kept as keys and values. The result is the caller's. */
  readonly attend?: (block: number, q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions) => Tensor;
}

export interface AttentionOptions {
  n_heads: number;
  n_kv_heads: number;
  head_dim: number;
  scale: number;
  /** 0: none. */
  sliding_window: number;
}

/** Weights by name, owned by the source: a caller disposes nothing that it gets here. */
export interface WeightSource {
  /** Inputs are quantized by what all rows hold: they are not cut. */
  readonly seesAllRows?: boolean;
  has(tensorName: string): boolean;
  /** Any tensor by its full name: norms, embeddings. */
  tensor(tensorName: string): Tensor;
  /** A linear by its module name; `quantizeInput` is null where the inputs are used as they are, and answers a new tensor else. */
  linear(module: string): {
    weight: Tensor;
    bias: Tensor | null;
    quantizeInput: ((input: Tensor) => Tensor) | null;
    /** B (A x) is added, of the input as it is. */
    adapter?: { A: Tensor; B: Tensor } | null;
  };
}

/** Sees the input of every linear before it is quantized; linears with one input see the same tensor, one right after the other. It is valid during the call only. */
export type Tap = (module: string, input: Tensor) => void;

export interface DecoderModel {
  readonly nBlocks: number;
  /** Names of the tensors that `embed` needs. */
  readonly embeddingTensors: readonly string[];
  /** Names of the tensors that `finalNorm` and `logits` need. A tied head reads the embedding. */
  readonly headTensors: readonly string[];
  /** F32 [tokens, hidden_size], the caller's. */
  embed(batch: TokenBatch, weights: WeightSource): Tensor;
  /** One decoder block: F32 [tokens, hidden_size] → the same shape, the caller's; `hidden` is left as it is. */
  forwardBlock(block: number, hidden: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap | null): Tensor;
  /** What `forwardBlock` taps, without what comes after the input of its last linear. */
  observeBlock(block: number, hidden: Tensor, batch: TokenBatch, weights: WeightSource, tap: Tap): void;
  /** `see` gets what a module of a block takes: the block itself, its attention, its MLP or one linear. The input is valid during the call only. */
  observeModule(
    module: string,
    block: number,
    hidden: Tensor,
    batch: TokenBatch,
    weights: WeightSource,
    see: (input: Tensor) => void,
  ): void;
  /** The output of such a module for that input, the caller's. */
  forwardModule(module: string, block: number, input: Tensor, batch: TokenBatch, weights: WeightSource): Tensor;
  finalNorm(hidden: Tensor, weights: WeightSource): Tensor;
  /** F32 [tokens, vocab_size] from the normed hidden states; taps the head. */
  logits(normed: Tensor, weights: WeightSource, tap: Tap | null): Tensor;
}
