// safetensors files: header with padding, tensors wide types first and then by name, written once from front to back.
import { createHash } from 'node:crypto';
import type { ModelTensor } from '../../../schemas/src/generated/plan.js';
import type { Tensor } from '../tensor/tensor.js';
import { writeDurably, type WrittenFile } from './durable-file.js';

export interface TensorToWrite {
  name: string;
  dtype: ModelTensor['dtype'];
  shape: readonly number[];
  bytes: number;
  /** The bytes, in order, in as many pieces as they come. */
  read(): AsyncIterable<Uint8Array>;
}

export function fromDevice({ name, tensor }: { name: string; tensor: Tensor }): TensorToWrite {
  async function* read(): AsyncIterable<Uint8Array> {
    yield await tensor.read();
  }
  return { name, dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.bytes, read };
}

/** The order of the reference writer: element width falling, so that every tensor is aligned to its width, then name. */
const typeOrder: readonly ModelTensor['dtype'][] = [
  'U64',
  'I64',
  'F64',
  'F32',
  'U32',
  'I32',
  'BF16',
  'F16',
  'U16',
  'I16',
  'F8_E8M0',
  'F8_E4M3',
  'F8_E5M2',
  'I8',
  'U8',
  'BOOL',
];

const compareNames = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Header bytes (length prefix and padding included) and the tensors in the order in which their bytes follow. */
function layOutTensors<T extends Omit<TensorToWrite, 'read'>>(tensors: readonly T[]): { header: Uint8Array; order: T[] } {
  const order = [...tensors].sort((a, b) => typeOrder.indexOf(a.dtype) - typeOrder.indexOf(b.dtype) || compareNames(a.name, b.name));
  // Loaders before transformers 5 refuse a file without this entry.
  const table: [string, unknown][] = [['__metadata__', { format: 'pt' }]];
  let offset = 0;
  for (const { name, dtype, shape, bytes } of order) {
    table.push([name, { dtype, shape, data_offsets: [offset, offset + bytes] }]);
    offset += bytes;
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(table)));
  // The data area begins at a multiple of 8, the widest element.
  const padded = Math.ceil(text.byteLength / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(text, 8);
  return { header, order };
}

/** Where a tensor lies in a file that `layOutTensors` laid out. */
export function placeTensors(file: string, tensors: readonly Omit<TensorToWrite, 'read'>[]): ModelTensor[] {
  const { header, order } = layOutTensors(tensors);
  let offset = header.byteLength;
  return order.map(({ name, dtype, shape, bytes }) => {
    const placed = { name, file, dtype, shape: [...shape], offset, bytes };
    offset += bytes;
    return placed;
  });
}

/** SHA-256 (hex) of the header that `writeSafetensors` writes, as in a model's fingerprint. */
export const headerHashOf = (tensors: readonly Omit<TensorToWrite, 'read'>[]): string =>
  createHash('sha256').update(layOutTensors(tensors).header).digest('hex');

/** `onTensor` gets the SHA-256 of each tensor: of its dtype, shape and bytes. */
export function writeSafetensors(
  file: string,
  tensors: readonly TensorToWrite[],
  needed: string,
  onTensor?: (name: string, sha256: string) => void,
): Promise<WrittenFile> {
  const { header, order } = layOutTensors(tensors);
  return writeDurably(file, fileChunks(header, order, onTensor), needed);
}

async function* fileChunks(
  header: Uint8Array,
  order: readonly TensorToWrite[],
  onTensor?: (name: string, sha256: string) => void,
): AsyncIterable<Uint8Array> {
  yield header;
  for (const tensor of order) {
    let written = 0;
    const hash = onTensor && createHash('sha256').update(`${tensor.dtype} ${tensor.shape.join(' ')}\n`);
    for await (const chunk of tensor.read()) {
      written += chunk.byteLength;
      hash?.update(chunk);
      yield chunk;
    }
    if (written !== tensor.bytes) throw new Error(`${tensor.name} gave ${written} bytes for its ${tensor.bytes}.`);
    if (hash) onTensor?.(tensor.name, hash.digest('hex'));
  }
}
