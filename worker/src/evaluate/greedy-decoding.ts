// Greedy decoding of many prompts at once: all weights loaded once, keys and values of every token kept, so that a new token costs one pass of one
// token. Prompts of a group are read together; each step takes the most probable next token of every prompt that has not ended.
//
// Cost: P prompt tokens and G generated ones cost (P + G) passes of a token, and reading the kept keys and values: 2 · layers · kept · kv width numbers a step.
// Memory: all weights of the model, and 8 · layers · capacity · kv width bytes for each prompt of a group.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { ArchitectureFacts, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { packDocuments } from '../calibration/token-batches.js';
import type { LoadedWeights } from '../checkpoint/loaded-weights.js';
import { freeHostMemory } from '../../../schemas/src/free-memory.js';
import type { AttentionOptions, DecoderModel, TokenBatch } from '../models/model.js';
import { openDecoder } from '../models/open-decoder.js';
import { argmax, attention, cachedAttention, embedding, storeRows } from '../tensor/operations/forward.js';
import type { Device, Tensor } from '../tensor/tensor.js';
import { partLoader } from './model-pass.js';

export interface DecodingInput {
  model: ModelDescription;
  device: Device;
  prompts: readonly Int32Array[];
  /** New tokens at most. */
  most: number;
  /** After each new token: true ends the prompt. The token that ends it is part of the answer. */
  isEnded(prompt: number, generated: readonly number[]): boolean;
  /** After every step with the share of the work that is done at most; throws to stop. */
  onProgress(fraction: number): void;
}

/** Of the free memory, for keys and values. */
const cacheShare = 0.25;
/** Prompts that are decoded together at most: more make a step no cheaper for each. */
const mostTogether = 64;

/** New tokens of every prompt. */
export async function decodeGreedily(input: DecodingInput): Promise<number[][]> {
  const { model, device, prompts, most } = input;
  checkWeightsFit(model, device);
  const longest = prompts.reduce((length, prompt) => Math.max(length, prompt.length), 0);
  using decoder = openDecoder(model, device, longest + most, 'Generation');
  using weights = await partLoader(device, model)(() => true);
  const facts = model.architecture;
  if (facts === null) throw runFailure.architectureUnknown(model.architecture_name ?? model.dir, 'Generation');
  const together = Math.max(1, Math.min(mostTogether, Math.floor((freeBytes(device) * cacheShare) / cacheBytes(facts, longest + most))));
  const answers: number[][] = [];
  for (let begin = 0; begin < prompts.length; begin += together) {
    const group = prompts.slice(begin, begin + together);
    answers.push(...(await decodeGroup({ input, decoder, weights, facts, first: begin }, group)));
  }
  return answers;
}

/** Keys and values of one prompt. */
const cacheBytes = ({ num_hidden_layers, num_key_value_heads, head_dim }: ArchitectureFacts, capacity: number): number =>
  8 * num_hidden_layers * capacity * num_key_value_heads * head_dim;

/** Where weights, keys and values lie: in the memory of the device, and that of the processor is the host's. */
function freeBytes(device: Device): number {
  const { free_bytes } = device.native.memory();
  return Math.min(free_bytes ?? Infinity, device.native.kind === 'cpu' ? freeHostMemory() : Infinity);
}

function checkWeightsFit(model: ModelDescription, device: Device): void {
  const quantized = new Map(Object.entries(model.quantization?.layers ?? {}));
  const stored = model.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  // A quantized weight is dequantized when it is loaded: 16 bits for what is stored in 2 to 8.
  const needed = quantized.size > 0 ? 4 * stored : stored;
  const free = freeBytes(device);
  if (needed > free)
    throw runFailure.memoryTooSmall(bytesText(needed), `${bytesText(free)} is free`, 'generating, which keeps all weights in memory,');
}

interface Group {
  input: DecodingInput;
  decoder: DecoderModel;
  weights: LoadedWeights;
  facts: ArchitectureFacts;
  /** Number of its first prompt. */
  first: number;
}

async function decodeGroup(group: Group, prompts: readonly Int32Array[]): Promise<number[][]> {
  const { input, facts, first } = group;
  const generated: number[][] = prompts.map(() => []);
  using kept = new KeptTokens(input.device, facts, prompts, input.most);
  let next = await step(group, kept, kept.readPrompts());
  for (let count = 1; ; count += 1) {
    const ended = generated.map((tokens, at) => {
      if (kept.hasEnded(at)) return true;
      tokens.push(next[at] ?? 0);
      return tokens.length >= input.most || input.isEnded(first + at, tokens);
    });
    kept.end(ended);
    input.onProgress((first + (prompts.length * count) / input.most) / input.prompts.length);
    if (ended.every(Boolean)) return generated;
    next = await step(group, kept, kept.readTokens(next));
  }
}

/** The most probable token behind the last token of every prompt. */
async function step({ decoder, weights, input, facts }: Group, kept: KeptTokens, pass: DecodingPass): Promise<Int32Array> {
  using batch = pass;
  let hidden = decoder.embed(batch, weights);
  try {
    for (let block = 0; block < facts.num_hidden_layers; block += 1) {
      const before = hidden;
      hidden = decoder.forwardBlock(block, before, batch, weights, null);
      before.dispose();
    }
    using last = input.device.fromInts(
      [kept.count],
      Int32Array.from(batch.offsets.slice(1), (end) => end - 1),
    );
    using states = embedding(hidden, last);
    using normed = decoder.finalNorm(states, weights);
    using logits = decoder.logits(normed, weights, null);
    using tokens = argmax(logits);
    const bytes = await tokens.read();
    return new Int32Array(bytes.buffer, bytes.byteOffset, kept.count).slice();
  } finally {
    hidden.dispose();
  }
}

interface DecodingPass extends TokenBatch, Disposable {}

/** Keys and values of a group of prompts, block by block: prompt d has the rows d · capacity onwards. */
class KeptTokens implements Disposable {
  readonly count: number;
  private readonly capacity: number;
  private readonly lengths: number[];
  private ended: boolean[];
  private readonly keys: Tensor[];
  private readonly values: Tensor[];

  constructor(
    private readonly device: Device,
    facts: ArchitectureFacts,
    private readonly prompts: readonly Int32Array[],
    most: number,
  ) {
    this.count = prompts.length;
    this.capacity = prompts.reduce((length, prompt) => Math.max(length, prompt.length), 0) + most;
    this.lengths = prompts.map(() => 0);
    this.ended = prompts.map(() => false);
    const shape = [this.count * this.capacity, facts.num_key_value_heads * facts.head_dim];
    const blocks = Array.from({ length: facts.num_hidden_layers });
    this.keys = blocks.map(() => device.zeros('F32', shape));
    this.values = blocks.map(() => device.zeros('F32', shape));
  }

  hasEnded(prompt: number): boolean {
    return this.ended[prompt] ?? true;
  }

  end(ended: boolean[]): void {
    this.ended = ended;
  }

  /** All tokens of the prompts: attention within each, and its keys and values are kept. */
  readPrompts(): DecodingPass {
    const batch = packDocuments(this.prompts, this.device);
    const rows = this.prompts.flatMap((prompt, at) => Array.from(prompt, (_, position) => at * this.capacity + position));
    this.prompts.forEach((prompt, at) => (this.lengths[at] = prompt.length));
    const kept = this.device.fromInts([rows.length], Int32Array.from(rows));
    return {
      ...batch,
      attend: (block, q, k, v, options) => {
        this.keep(block, k, v, kept);
        return attention(q, k, v, batch.documentOffsets, options);
      },
      [Symbol.dispose]: () => [batch.ids, batch.positionIds, batch.documentOffsets, kept].forEach((tensor) => tensor.dispose()),
    };
  }

  /** One more token of each prompt; one that has ended stays where it is, and its result is not used. */
  readTokens(tokens: Int32Array): DecodingPass {
    const positions = this.lengths.map((length, at) => (this.hasEnded(at) ? length - 1 : length));
    positions.forEach((position, at) => (this.lengths[at] = position + 1));
    const one = (values: readonly number[]): Tensor => this.device.fromInts([values.length], Int32Array.from(values));
    const offsets = Array.from({ length: this.count + 1 }, (_, at) => at);
    const ids = tokens.slice(0, this.count);
    const tensors = {
      ids: this.device.fromInts([this.count], ids),
      positionIds: one(positions),
      documentOffsets: one(offsets),
    };
    const kept = one(positions.map((position, at) => at * this.capacity + position));
    const lengths = one(this.lengths);
    return {
      ...tensors,
      offsets,
      firstDocument: 0,
      nTokens: this.count,
      tokens: ids,
      attend: (block: number, q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions) => {
        this.keep(block, k, v, kept);
        return cachedAttention(q, this.of(this.keys, block), this.of(this.values, block), lengths, options);
      },
      [Symbol.dispose]: () => [...Object.values(tensors), kept, lengths].forEach((tensor) => tensor.dispose()),
    };
  }

  private keep(block: number, k: Tensor, v: Tensor, rows: Tensor): void {
    storeRows(this.of(this.keys, block), k, rows);
    storeRows(this.of(this.values, block), v, rows);
  }

  private of(tensors: readonly Tensor[], block: number): Tensor {
    const tensor = tensors[block];
    if (tensor === undefined) throw new Error(`Block ${block} has no kept keys and values.`);
    return tensor;
  }

  [Symbol.dispose](): void {
    [...this.keys, ...this.values].forEach((tensor) => tensor.dispose());
  }
}
