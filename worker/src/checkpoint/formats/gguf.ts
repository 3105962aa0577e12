// Tensors of a GGUF file, read back: blocks become weights, and rows that lie in llama.cpp's order come back to the checkpoint's. The shards of a run hold the same blocks in
// the checkpoint's order.
import type { QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import { pairedRows } from '../../../../schemas/src/model/gguf-names.js';
import { runFailure } from '../../../../schemas/src/run-failure.js';
import { ggufDecode } from '../../tensor/operations/formats.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { TensorReader } from '../tensor-reader.js';

/** The weight [rows, columns]: F32 from blocks, else in the dtype that the file has it in. */
export async function loadGguf(reader: TensorReader, module: string, { weights }: QuantizationScheme): Promise<Tensor> {
  const { gguf_type: type, gguf_heads: heads } = weights ?? {};
  const name = `${module}.weight`;
  if (type === undefined) throw runFailure.planInvalid(`${module} has no type of GGUF`);
  const stored = heads === undefined ? reader.load(name) : await loadInOrder(reader, name, heads);
  if (type === 'F32' || type === 'F16' || type === 'BF16') return stored;
  using blocks = stored;
  return ggufDecode(blocks, type);
}

/** Weight or bias whose rows lie in the file as llama.cpp rotates them. */
export async function loadInOrder(reader: TensorReader, name: string, heads: number): Promise<Tensor> {
  using stored = reader.load(name);
  const [rows = 0] = stored.shape;
  const inFile = await stored.read();
  const length = inFile.byteLength / rows;
  const bytes = new Uint8Array(inFile.byteLength);
  for (const [row, own] of pairedRows(rows, heads).entries()) bytes.set(inFile.subarray(row * length, (row + 1) * length), own * length);
  return reader.device.fromBytes(stored.dtype, stored.shape, bytes);
}
