// What a header reader says of a file that it refuses.
import { HeaderError } from '../../schemas/src/model/safetensors-header.js';

/** Of one that it takes: how many tensors it found. */
export async function refusalOf(header: Promise<{ tensors: readonly unknown[] }>): Promise<string> {
  try {
    return `accepted with ${(await header).tensors.length} tensors`;
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error;
    return error.detail;
  }
}
