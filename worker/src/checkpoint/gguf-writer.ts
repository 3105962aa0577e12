// GGUF files, version 3, written once from front to back: header, metadata, table of tensors, then the tensors, each at a multiple of 32 bytes.
// Format: ggml-org/ggml, docs/gguf.md.
import { createHash } from 'node:crypto';
import { ggmlTypeNamed } from '../../../schemas/src/model/gguf-types.js';
import type { GgufValueToWrite } from '../../../schemas/src/model/gguf-architecture.js';
import { writeDurably, type WrittenFile } from './durable-file.js';

export interface GgufTensorToWrite {
  name: string;
  /** Such as Q4_K. */
  type: string;
  /** Outermost first; the file has it the other way round. */
  shape: readonly number[];
  bytes: number;
  /** The bytes, in order, in as many pieces as they come. */
  read(): AsyncIterable<Uint8Array>;
}

const alignment = 32;
const padded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/** By the format's list. */
const valueTypes = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

class Bytes {
  private buffer = new ArrayBuffer(1 << 16);
  private length = 0;

  private room(n: number): DataView {
    if (this.length + n > this.buffer.byteLength) {
      const larger = new ArrayBuffer(Math.max(2 * this.buffer.byteLength, this.length + n));
      new Uint8Array(larger).set(new Uint8Array(this.buffer, 0, this.length));
      this.buffer = larger;
    }
    const view = new DataView(this.buffer, this.length, n);
    this.length += n;
    return view;
  }

  u8 = (value: number): void => this.room(1).setUint8(0, value);
  u32 = (value: number): void => this.room(4).setUint32(0, value, true);
  i32 = (value: number): void => this.room(4).setInt32(0, value, true);
  f32 = (value: number): void => this.room(4).setFloat32(0, value, true);
  u64 = (value: number): void => this.room(8).setBigUint64(0, BigInt(value), true);
  text = (value: string): void => {
    const utf8 = new TextEncoder().encode(value);
    this.u64(utf8.byteLength);
    const { buffer, byteOffset } = this.room(utf8.byteLength);
    new Uint8Array(buffer, byteOffset, utf8.byteLength).set(utf8);
  };

  /** Padded, as the data behind it begins aligned. */
  whole(): Uint8Array {
    const bytes = new Uint8Array(padded(this.length));
    bytes.set(new Uint8Array(this.buffer, 0, this.length));
    return bytes;
  }
}

function putEntry(bytes: Bytes, entry: GgufValueToWrite): void {
  bytes.text(entry.key);
  bytes.u32(valueTypes[entry.type]);
  switch (entry.type) {
    case 'uint32':
      return bytes.u32(entry.value);
    case 'int32':
      return bytes.i32(entry.value);
    case 'float32':
      return bytes.f32(entry.value);
    case 'bool':
      return bytes.u8(entry.value ? 1 : 0);
    case 'string':
      return bytes.text(entry.value);
    case 'array':
      bytes.u32(valueTypes[entry.of]);
      bytes.u64(entry.values.length);
      if (entry.of === 'string') entry.values.forEach(bytes.text);
      else entry.values.forEach(entry.of === 'int32' ? bytes.i32 : bytes.f32);
  }
}

function ggufHeader(entries: readonly GgufValueToWrite[], tensors: readonly Omit<GgufTensorToWrite, 'read'>[]): Uint8Array {
  const bytes = new Bytes();
  for (const letter of 'GGUF') bytes.u8(letter.charCodeAt(0));
  bytes.u32(3);
  bytes.u64(tensors.length);
  bytes.u64(entries.length);
  for (const entry of entries) putEntry(bytes, entry);
  let offset = 0;
  for (const { name, type, shape, bytes: length } of tensors) {
    const known = ggmlTypeNamed(type);
    if (known === null) throw new Error(`There is no GGUF type ${type}.`);
    bytes.text(name);
    bytes.u32(shape.length);
    for (const extent of [...shape].reverse()) bytes.u64(extent);
    bytes.u32(known.id);
    bytes.u64(offset);
    offset += padded(length);
  }
  return bytes.whole();
}

export function writeGguf(
  file: string,
  entries: readonly GgufValueToWrite[],
  tensors: readonly GgufTensorToWrite[],
  needed: string,
  onTensor: (name: string, sha256: string) => void,
): Promise<WrittenFile> {
  return writeDurably(file, fileChunks(ggufHeader(entries, tensors), tensors, onTensor), needed);
}

async function* fileChunks(
  header: Uint8Array,
  tensors: readonly GgufTensorToWrite[],
  onTensor: (name: string, sha256: string) => void,
): AsyncIterable<Uint8Array> {
  yield header;
  for (const tensor of tensors) {
    let written = 0;
    const hash = createHash('sha256').update(`${tensor.type} ${tensor.shape.join(' ')}\n`);
    for await (const chunk of tensor.read()) {
      written += chunk.byteLength;
      hash.update(chunk);
      yield chunk;
    }
    if (written !== tensor.bytes) throw new Error(`${tensor.name} gave ${written} bytes for its ${tensor.bytes}.`);
    onTensor(tensor.name, hash.digest('hex'));
    yield new Uint8Array(padded(written) - written);
  }
}
