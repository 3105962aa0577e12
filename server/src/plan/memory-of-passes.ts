// What rows take while they pass through the model: hidden states between blocks, the weights of a block, its activations, the head.
import type { ArchitectureFacts, LayerPlan } from '../../../schemas/src/generated/plan.js';
import {
  batchOf,
  batchTokens,
  blocks,
  blocksOf,
  elements,
  largestOf,
  sizeOf,
  type MemoryInput,
  type RowsEstimate,
} from './memory-terms.js';

/** As in the worker's run.ts and perplexity.ts. */
export const cacheShare = 0.4;

/** As in the worker's perplexity.ts: logits in memory at a time. */
const logitBytes = 64 * 2 ** 20;

/** As in the worker's memory-governor.ts: fewer logits are not computed at a time. */
const fewLogitBytes = 4 * 2 ** 16;

/** As in the worker's by-rows.ts: the last piece of a sequence takes what is left. */
const mostInPiece = 511;

/** Text, ids, positions and offsets of a token, in JavaScript and native. */
const bytesOfToken = 24;

/** d · N numbers between two blocks, kept for every row up to a share of the memory; and the tokens themselves. */
export function cachedBytes(
  { hidden_size: d }: ArchitectureFacts,
  { totalTokens: N, tokens, isLeast }: RowsEstimate,
  memoryLimit: number,
): number {
  if (isLeast) return bytesOfToken * N;
  const T = batchOf({ samples: 0, tokens, totalTokens: N });
  const hidden = Math.min(4 * d * N, cacheShare * memoryLimit);
  return blocks(Math.ceil(N / Math.max(1, T)), hidden / Math.max(1, Math.ceil(N / Math.max(1, T)))) + bytesOfToken * N;
}

/**
 * Activations of one batch that are alive together, F32. In the MLP: attention output, residual, norm, down, result (T · d each), gate, up and
 * their product (T · f each). In attention: norm, projection, result (T · d), queries before and after turning, mix (T · a), keys and values (T · k).
 * At the least, of a sequence in pieces of R rows: what was and is, norm, the input of down, keys, values and mix; all else for R rows.
 */
export function workingBytes(facts: ArchitectureFacts, rows: RowsEstimate): number {
  const T = batchOf(rows);
  const { hidden_size: d, intermediate_size: f, num_attention_heads, num_key_value_heads, head_dim } = facts;
  const [a, k] = [num_attention_heads * head_dim, num_key_value_heads * head_dim];
  const R = Math.min(T, mostInPiece);
  if (rows.isLeast && R < T)
    return (
      blocks(3, 4 * T * d) +
      Math.max(blocks(1, 4 * T * f), blocks(1, 4 * T * a) + blocks(2, 4 * T * k)) +
      blocks(3, 4 * R * Math.max(d, f, a))
    );
  const mlp = blocks(5, 4 * T * d) + blocks(3, 4 * T * f);
  const attention = blocks(3, 4 * T * d) + blocks(3, 4 * T * a) + blocks(3, 4 * T * k);
  return Math.max(mlp, attention);
}

/** All tensors of the largest block as stored (m · n · b), and what is taken beside for one of them. */
export const blockWeights = (layers: readonly LayerPlan[], beside: (layer: LayerPlan) => number): number =>
  largestOf(blocksOf(layers), (members) =>
    members.reduce((sum, layer) => sum + elements(layer) * sizeOf(layer), largestOf(members, beside)),
  );

/** The same while rows pass through it. */
export const passedWeights = (rows: RowsEstimate, input: MemoryInput): number =>
  blockWeights(input.layers, (layer) => productBytes(layer, batchOf(rows), input));

/** What a product of T rows takes of a weight that is not F32: its copy in F32; on a CUDA device of a BF16 weight the rows in three parts (worker/native/forward/linear.cu). */
export function productBytes(layer: LayerPlan, T: number, { onCuda }: MemoryInput): number {
  if (sizeOf(layer) === 4) return 0;
  return blocks(1, onCuda && layer.dtype === 'BF16' ? 6 * Math.min(T, batchTokens) * layer.columns : 4 * elements(layer));
}

/** Inputs of the linears of a block in the unquantized model, kept for a batch while those behind quantized blocks are computed: T · (2 d + a + f). */
export function pairBytes(facts: ArchitectureFacts, rows: RowsEstimate): number {
  const { hidden_size: d, intermediate_size: f, num_attention_heads, head_dim } = facts;
  return blocks(1, 4 * batchOf(rows) * (2 * d + num_attention_heads * head_dim + f));
}

/** Norm and logits of a batch, and the head's weight as stored and in F32. */
export function headBytes(facts: ArchitectureFacts, input: MemoryInput, rows: RowsEstimate): number {
  const { hidden_size: d, vocab_size: V, lm_head } = facts;
  const head = input.layers.find((layer) => layer.name === lm_head);
  const T = batchOf(rows);
  const logits = Math.max(4 * V, Math.min(rows.isLeast ? fewLogitBytes : logitBytes, 4 * T * V));
  const weight = head === undefined ? 4 * V * d : V * d * sizeOf(head) + productBytes(head, logits / (4 * V), input);
  return blocks(2, 4 * T * d) + weight + blocks(1, logits);
}
