// Safetensors header bytes → tensor table. Refuses headers that lie: lengths, offsets, holes, overlaps, shapes. Format: huggingface/safetensors, "Format" section.
import { createHash } from 'node:crypto';
import type { ModelTensor } from '../generated/plan.js';
import { readHeaderJson } from './header-json.js';
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

/** A header that cannot be trusted; `detail` names the tensor or the bytes. */
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
  /** Bytes of the file. */
  size: number;
}

const isIndex = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** Reads and checks the header of a file; `name` is what tensors will call their file. */
export async function readSafetensorsHeader(files: ModelFiles, file: string, name: string): Promise<SafetensorsHeader> {
  const size = await files.size(file);
  if (size === null) throw new HeaderError(name, 'the file does not exist');
  if (size < 8) throw new HeaderError(name, `the file has ${size} bytes, too few for the 8 that give the header's length`);
  const prefix = await files.readRange(file, 0, 8);
  if (prefix.length < 8) throw new HeaderError(name, `only ${prefix.length} of the first 8 bytes can be read`);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (new TextDecoder().decode(prefix) === 'version ')
    throw new HeaderError(name, 'it holds no weights but a pointer of Git LFS; git lfs pull in its repository puts the file there');
  if (length > longestHeader)
    throw new HeaderError(name, `the header claims ${length} bytes, more than the ${longestHeader} that readers accept`);
  if (8 + length > size) throw new HeaderError(name, `the header claims ${length} bytes, the file has only ${size}: it is truncated`);
  const bytes = await files.readRange(file, 0, 8 + length);
  if (bytes.length !== 8 + length) throw new HeaderError(name, `the header ends after ${bytes.length} of ${8 + length} bytes`);
  return parseSafetensorsHeader(bytes, size, name);
}

/** `bytes` holds the length prefix and the header text of a file of `size` bytes. */
function parseSafetensorsHeader(bytes: Uint8Array, size: number, name: string): SafetensorsHeader {
  let text: string;
  try {
    // The mark that some editors put first is no JSON, and other readers refuse it.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8));
  } catch {
    throw new HeaderError(name, 'the header is not UTF-8');
  }
  const header = readHeaderJson(text);
  if ('error' in header) throw new HeaderError(name, header.error);
  const dataStart = bytes.length;
  const tensors: ModelTensor[] = [];
  // A model has tens of thousands of tensors and a dozen shapes.
  const shapes = new Map<string, number[]>();
  const sharedShape = (shape: number[]): number[] => {
    const key = shape.join();
    const known = shapes.get(key) ?? shape;
    shapes.set(key, known);
    return known;
  };
  let metadata: Record<string, string> = {};
  for (const [key, entry] of header.entries)
    if (key === '__metadata__') metadata = metadataOf(entry, name);
    else {
      const tensor = tensorEntry(key, entry, name, dataStart);
      tensors.push({ ...tensor, shape: sharedShape(tensor.shape) });
    }
  checkLayout(tensors, dataStart, size, name);
  return { tensors, metadata, sha256: createHash('sha256').update(bytes).digest('hex'), dataStart, size };
}

function metadataOf(entry: unknown, file: string): Record<string, string> {
  if (entry === null) return {};
  if (typeof entry !== 'object' || Array.isArray(entry)) throw new HeaderError(file, '__metadata__ is not an object of texts');
  const wrong = Object.entries(entry).find(([, value]) => typeof value !== 'string');
  if (wrong !== undefined) throw new HeaderError(file, `${wrong[0]} in __metadata__ is ${shown(wrong[1])}, which is not a text`);
  return entry as Record<string, string>;
}

function tensorEntry(tensor: string, entry: unknown, file: string, dataStart: number): ModelTensor {
  if (/\p{Surrogate}/u.test(tensor)) throw new HeaderError(file, `the tensor name ${shown(tensor)} is not valid Unicode`);
  const { dtype, shape, data_offsets: offsets } = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<string, unknown>;
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypeBytes, dtype))
    throw new HeaderError(file, `${tensor} has the dtype ${shown(dtype)}, which is none of ${Object.keys(dtypeBytes).join(', ')}`);
  if (!Array.isArray(shape) || !shape.every(isIndex))
    throw new HeaderError(file, `${tensor} has the shape ${shown(shape)}, which is not a list of sizes`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isIndex))
    throw new HeaderError(file, `${tensor} has the data_offsets ${shown(offsets)}, which are not two byte positions`);
  const [begin, end] = offsets as [number, number];
  let bytes = dtypeBytes[dtype as TensorDtype];
  for (const extent of shape) {
    bytes *= extent;
    // Beyond this a product is rounded, and a wrong one could look right.
    if (!Number.isSafeInteger(bytes)) throw new HeaderError(file, `${tensor} is ${dtype} ${shown(shape)}: larger than any file`);
  }
  if (end - begin !== bytes)
    throw new HeaderError(
      file,
      `${tensor} is ${dtype} [${shape.join(', ')}], ${bytes} bytes, but its data_offsets ${begin} to ${end} span ${end - begin}`,
    );
  return { name: tensor, file, dtype: dtype as TensorDtype, shape, offset: dataStart + begin, bytes };
}

/** A value of the header for a message, cut when it is long. */
function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
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
