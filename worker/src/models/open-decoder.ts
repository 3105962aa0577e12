// Chooses the forward pass of a model by its family.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { Device } from '../tensor/tensor.js';
import { checkTensors } from './check-tensors.js';
import { LlamaDecoder } from './llama.js';
import type { DecoderModel } from './model.js';

/** `n_positions`: tokens of the longest document; `purpose` begins the sentence when the family is unknown. */
export function openDecoder(model: ModelDescription, device: Device, n_positions: number, purpose: string): DecoderModel & Disposable {
  const { architecture } = model;
  if (architecture === null) throw runFailure.architectureUnknown(model.architecture_name ?? model.dir, purpose);
  checkTensors(model, architecture);
  return new LlamaDecoder(architecture, device, n_positions);
}
