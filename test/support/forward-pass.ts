// A whole forward pass of a model folder over given ids: every hidden state and the logits, as numbers.
import assert from 'node:assert/strict';
import type { ModelDescription } from '../../schemas/src/generated/plan.js';
import { describeModel } from '../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { packDocuments } from '../../worker/src/calibration/token-batches.js';
import { loadWeights } from '../../worker/src/checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader } from '../../worker/src/checkpoint/tensor-reader.js';
import type { DecoderModel, Tap, TokenBatch, WeightSource } from '../../worker/src/models/model.js';
import { openDecoder } from '../../worker/src/models/open-decoder.js';
import type { Device, Tensor } from '../../worker/src/tensor/tensor.js';

export interface ForwardPass {
  /** As transformers counts them: the embedding, the output of every block but the last, and the normed output of the last. */
  hiddenStates: Float32Array[];
  logits: Float32Array;
}

export async function describedModel(dir: string): Promise<ModelDescription> {
  const { model, problems } = await describeModel(dir, nodeFiles);
  assert.ok(model, problems.map((problem) => problem.message).join(' '));
  return model;
}

/** `documents`: token ids, packed behind each other. */
export async function forwardPass(
  device: Device,
  model: ModelDescription,
  documents: readonly Int32Array[],
  tap: Tap | null = null,
): Promise<ForwardPass> {
  const longest = Math.max(...documents.map((document) => document.length));
  using decoder = openDecoder(model, device, longest, 'The test');
  using weights = await loadWeights(
    openTensorReader(device, modelTensors(model)),
    () => true,
    (module) => model.quantization?.layers[module] ?? null,
  );
  const batch = packDocuments(documents, device);
  const { ids, positionIds, documentOffsets } = batch;
  const made: Tensor[] = [ids, positionIds, documentOffsets];
  const keep = (tensor: Tensor): Tensor => {
    made.push(tensor);
    return tensor;
  };
  try {
    const states: Tensor[] = [keep(decoder.embed(batch, weights))];
    for (let block = 0; block < decoder.nBlocks; block += 1) {
      // Taps as calibration does.
      if (tap !== null) decoder.observeBlock(block, states[block]!, batch, weights, tap);
      states.push(keep(decoder.forwardBlock(block, states[block]!, batch, weights, null)));
    }
    const normed = keep(decoder.finalNorm(states.pop()!, weights));
    const logits = keep(decoder.logits(normed, weights, tap));
    const hiddenStates = await Promise.all([...states, normed].map((state) => state.readFloats()));
    return { hiddenStates, logits: await logits.readFloats() };
  } finally {
    made.forEach((tensor) => tensor.dispose());
  }
}

/** The logits alone; the caller's. */
export function logitsOf(decoder: DecoderModel, batch: TokenBatch, weights: WeightSource): Tensor {
  let hidden = decoder.embed(batch, weights);
  for (let block = 0; block < decoder.nBlocks; block += 1) {
    using before = hidden;
    hidden = decoder.forwardBlock(block, before, batch, weights, null);
  }
  using last = hidden;
  using normed = decoder.finalNorm(last, weights);
  return decoder.logits(normed, weights, null);
}

/** Rows of a golden [rows, length] id matrix as documents. */
export function rowsOf(ids: ArrayLike<number>, length: number): Int32Array[] {
  return Array.from({ length: ids.length / length }, (_, row) => Int32Array.from({ length }, (_, i) => ids[row * length + i] ?? -1));
}
