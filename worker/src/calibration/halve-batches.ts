// Batches of fewer documents, where one of many needs more memory than there is. Documents keep their order and are never cut.
import type { TokenBatch } from '../models/model.js';
import type { Device } from '../tensor/tensor.js';
import { documentsIn, packDocuments } from './token-batches.js';

export interface HalvedBatches {
  batches: TokenBatch[];
  /** For every batch of before the tokens of those that it has become. */
  parts: number[][];
}

/** Every batch of more than half the tokens of the largest becomes two; null when none that large has more than one document. The old ones are disposed. */
export function halveBatches(batches: readonly TokenBatch[], device: Device): HalvedBatches | null {
  const largest = batches.reduce((most, batch) => Math.max(most, batch.offsets.length > 2 ? batch.nTokens : 0), 0);
  if (largest === 0) return null;
  const halved: HalvedBatches = { batches: [], parts: [] };
  for (const batch of batches) {
    const parts = batch.offsets.length > 2 && batch.nTokens > largest / 2 ? halvesOf(batch, device) : [batch];
    halved.batches.push(...parts);
    halved.parts.push(parts.map((part) => part.nTokens));
  }
  return halved;
}

/** Cut at the border of documents that is nearest to the middle. */
function halvesOf(batch: TokenBatch, device: Device): TokenBatch[] {
  const { offsets, nTokens, firstDocument } = batch;
  const distance = (border: number): number => Math.abs((offsets[border] ?? 0) - nTokens / 2);
  let cut = 1;
  for (let border = 2; border < offsets.length - 1; border += 1) if (distance(border) < distance(cut)) cut = border;
  const documents = documentsIn(batch);
  for (const tensor of [batch.ids, batch.positionIds, batch.documentOffsets]) tensor.dispose();
  return [packDocuments(documents.slice(0, cut), device, firstDocument), packDocuments(documents.slice(cut), device, firstDocument + cut)];
}
