// Safetensors header bytes → tensor table. Refuses headers that lie: lengths, offsets, holes, overlaps, shapes. Format: huggingface/safetensors, "Format" section.
import { createHash } from 'node:crypto';
import type { ModelTensor } from '../generated/plan.js';
import type { ModelFiles } from './model-files.js';

export type TensorDtype = ModelTensor['dtype'];

export const dtypeBytes: Record<TensorDtype, number> = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
};

/** The reference implementation refuses larger headers too. */
const longestHeader = 100_000_000;

/** A header that cannot be trusted; `place` is a tensor name or byte range. */
export class HeaderError extends Error {
  constructor(
    readonly file: string,
    readonly detail: string,
  ) {
    super(`${file}: ${detail}`);
    this.name = 'HeaderError';
  }
}

export interface SafetensorsHeader {
  tensors: ModelTensor[];
  metadata: Record<string, string>;
  /** Of the length prefix and the header text. */
  sha256: string;
  /** First byte of the data area. */
  dataStart: number;
}

const isIndex = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** Reads and checks the header of a file; `name` is what tensors will call their file. */
export async function readSafetensorsHeader(files: ModelFiles, file: string, name: string): Promise<SafetensorsHeader> {
  const size = await files.size(file);
  if (size === null) throw new HeaderError(name, 'the file does not exist');
  if (size < 8) throw new HeaderError(name, `the file has ${size} bytes, too few for the 8 that give the header's length`);
  const prefix = await files.readRange(file, 0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (length > longestHeader)
    throw new HeaderError(name, `the header claims ${length} bytes, more than the ${longestHeader} that readers accept`);
  if (8 + length > size) throw new HeaderError(name, `the header claims ${length} bytes, the file has only ${size}: it is truncated`);
  const bytes = await files.readRange(file, 0, 8 + length);
  if (bytes.length !== 8 + length) throw new HeaderError(name, `the header ends after ${bytes.length} of ${8 + length} bytes`);
  return parseSafetensorsHeader(bytes, size, name);
}

/** `bytes` holds the length prefix and the header text of a file of `size` bytes. */
export function parseSafetensorsHeader(bytes: Uint8Array, size: number, name: string): SafetensorsHeader {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8)));
  } catch (error) {
    throw new HeaderError(name, `the header is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw new HeaderError(name, 'the header is not a JSON object');
  const dataStart = bytes.length;
  const tensors: ModelTensor[] = [];
  const metadata: Record<string, string> = {};
  for (const [key, entry] of Object.entries(header as Record<string, unknown>)) {
    if (key === '__metadata__') {
      for (const [field, value] of Object.entries((entry ?? {}) as Record<string, unknown>)) metadata[field] = String(value);
      continue;
    }
    tensors.push(tensorEntry(key, entry, name, dataStart));
  }
  checkLayout(tensors, dataStart, size, name);
  return { tensors, metadata, sha256: createHash('sha256').update(bytes).digest('hex'), dataStart };
}

function tensorEntry(tensor: string, entry: unknown, file: string, dataStart: number): ModelTensor {
  const { dtype, shape, data_offsets: offsets } = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<string, unknown>;
  if (typeof dtype !== 'string' || !(dtype in dtypeBytes))
    throw new HeaderError(file, `${tensor} has the dtype ${JSON.stringify(dtype)}, which is none of ${Object.keys(dtypeBytes).join(', ')}`);
  if (!Array.isArray(shape) || !shape.every(isIndex))
    throw new HeaderError(file, `${tensor} has the shape ${JSON.stringify(shape)}, which is not a list of sizes`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isIndex))
    throw new HeaderError(file, `${tensor} has the data_offsets ${JSON.stringify(offsets)}, which are not two byte positions`);
  const [begin, end] = offsets as [number, number];
  const bytes = shape.reduce((n: number, extent: number) => n * extent, dtypeBytes[dtype as TensorDtype]);
  if (end - begin !== bytes)
    throw new HeaderError(
      file,
      `${tensor} is ${dtype} [${shape.join(', ')}], ${bytes} bytes, but its data_offsets ${begin} to ${end} span ${end - begin}`,
    );
  return { name: tensor, file, dtype: dtype as TensorDtype, shape, offset: dataStart + begin, bytes };
}

function checkLayout(tensors: readonly ModelTensor[], dataStart: number, size: number, file: string): void {
  let end = dataStart;
  for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (tensor.offset < end)
      throw new HeaderError(file, `${tensor.name} begins at byte ${tensor.offset}, inside the tensor before it (which ends at ${end})`);
    if (tensor.offset > end) throw new HeaderError(file, `bytes ${end} to ${tensor.offset} before ${tensor.name} belong to no tensor`);
    end = tensor.offset + tensor.bytes;
  }
  if (end > size) throw new HeaderError(file, `the tensors end at byte ${end}, the file has only ${size}: it is truncated`);
  if (end < size) throw new HeaderError(file, `${size - end} bytes behind the last tensor belong to no tensor`);
}
