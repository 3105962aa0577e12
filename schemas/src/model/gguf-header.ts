// GGUF header, versions 2 and 3, either byte order → metadata and tensor table, read in ranges. Refuses headers that cannot be followed; what can be followed and is not
// sound is told in `problems`, as a truncated download still shows what it holds. Format: ggml-org/ggml, docs/gguf.md.
import { ggmlTypes } from './gguf-types.js';
import type { ModelFiles } from './model-files.js';
import { RangeCursor } from './range-cursor.js';
import { HeaderError } from './safetensors-header.js';

export type GgufValueType =
  'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32' | 'float32' | 'bool' | 'string' | 'array' | 'uint64' | 'int64' | 'float64';

/** An array is kept by its length and its first elements: vocabularies have hundreds of thousands. */
export interface GgufArray {
  type: GgufValueType;
  length: number;
  first: GgufValue[];
}
export type GgufValue = number | bigint | boolean | string | GgufArray;

export interface GgufEntry {
  key: string;
  type: GgufValueType;
  value: GgufValue;
}

export interface GgufTensor {
  name: string;
  /** Such as Q4_K; `type 99` where it is none that is known. */
  type: string;
  /** Outermost first, as in PyTorch; the file has it the other way round. */
  shape: number[];
  /** From the start of the file. */
  offset: number;
  /** null: the type is not known. */
  bytes: number | null;
}

export interface GgufHeader {
  version: number;
  littleEndian: boolean;
  alignment: number;
  metadata: GgufEntry[];
  /** In the order of the file. */
  tensors: GgufTensor[];
  /** First byte of the data area. */
  dataStart: number;
  size: number;
  problems: string[];
}

/** By id. Sizes in bytes; a string has at least its length, an array its type and length. */
const valueTypes: readonly {
  name: GgufValueType;
  bytes: number;
  read?: (view: DataView, at: number, little: boolean) => number | bigint;
}[] = [
  { name: 'uint8', bytes: 1, read: (view, at) => view.getUint8(at) },
  { name: 'int8', bytes: 1, read: (view, at) => view.getInt8(at) },
  { name: 'uint16', bytes: 2, read: (view, at, little) => view.getUint16(at, little) },
  { name: 'int16', bytes: 2, read: (view, at, little) => view.getInt16(at, little) },
  { name: 'uint32', bytes: 4, read: (view, at, little) => view.getUint32(at, little) },
  { name: 'int32', bytes: 4, read: (view, at, little) => view.getInt32(at, little) },
  { name: 'float32', bytes: 4, read: (view, at, little) => view.getFloat32(at, little) },
  { name: 'bool', bytes: 1 },
  { name: 'string', bytes: 8 },
  { name: 'array', bytes: 12 },
  { name: 'uint64', bytes: 8, read: (view, at, little) => view.getBigUint64(at, little) },
  { name: 'int64', bytes: 8, read: (view, at, little) => view.getBigInt64(at, little) },
  { name: 'float64', bytes: 8, read: (view, at, little) => view.getFloat64(at, little) },
];

/** Elements of an array that are kept. */
const shownElements = 64;
/** Arrays of arrays: no writer goes deeper than two. */
const deepest = 8;
/** ggml itself has four; more would be memory for nothing. */
const mostDimensions = 16;

export async function readGgufHeader(files: ModelFiles, file: string, name: string): Promise<GgufHeader> {
  const size = await files.size(file);
  if (size === null) throw new HeaderError(name, 'the file does not exist');
  if (size < 24) throw new HeaderError(name, `the file has ${size} bytes, too few for the 24 with which a GGUF file begins`);
  return new GgufReader(new RangeCursor(files, file, name, size)).read();
}

class GgufReader {
  constructor(private readonly cursor: RangeCursor) {}

  async read(): Promise<GgufHeader> {
    const { cursor } = this;
    await cursor.need(24, 'the beginning');
    const magic = new TextDecoder('latin1').decode(cursor.take(4));
    if (magic !== 'GGUF') this.fail(`the file begins with ${JSON.stringify(magic)}, a GGUF file with "GGUF"`);
    const [version, littleEndian] = this.version();
    const n_tensors = await this.count('the number of tensors', 24);
    const n_entries = await this.count('the number of metadata entries', 13);
    const metadata = await this.metadata(n_entries);
    const problems: string[] = [];
    const alignment = alignmentOf(metadata, problems);
    const infos = await this.tensorInfos(n_tensors);
    const dataStart = alignedTo(cursor.position, alignment);
    const tensors = infos.map(({ relative, ...info }) => ({ ...info, offset: dataStart + relative }));
    problems.push(...layoutProblems(tensors, dataStart, alignment, cursor.size));
    return { version, littleEndian, alignment, metadata, tensors, dataStart, size: cursor.size, problems };
  }

  private fail(detail: string): never {
    throw new HeaderError(this.cursor.name, detail);
  }

  /** A version is a small number: where it is none, the file has the other byte order. */
  private version(): [version: number, littleEndian: boolean] {
    const raw = this.cursor.number(4, (view, at) => view.getUint32(at, true));
    const swapped = ((raw & 0xff) << 24) | ((raw & 0xff00) << 8) | ((raw >>> 8) & 0xff00) | (raw >>> 24);
    const littleEndian = (raw & 0xffff) !== 0;
    this.cursor.littleEndian = littleEndian;
    const version = littleEndian ? raw : swapped >>> 0;
    if (version !== 2 && version !== 3) this.fail(`it is GGUF of version ${version}; versions 2 and 3 are read. Convert the model again`);
    return [version, littleEndian];
  }

  /** A count whose items take at least so many bytes each, so that no claim leads to more work than the file has bytes. */
  private async count(what: string, leastBytes: number): Promise<number> {
    await this.cursor.need(8, what);
    const at = this.cursor.position;
    const value = this.cursor.number(8, (view, offset, little) => view.getBigUint64(offset, little));
    if (value * BigInt(leastBytes) > BigInt(this.cursor.left))
      this.fail(
        `${what} at byte ${at} is ${value}, more than the ${this.cursor.left} bytes behind it can hold: the file is truncated or damaged`,
      );
    return Number(value);
  }

  private async number32(what: string): Promise<number> {
    await this.cursor.need(4, what);
    return this.cursor.number(4, (view, at, little) => view.getUint32(at, little));
  }

  private async text(what: string): Promise<string> {
    const length = await this.count(`the length of ${what}`, 1);
    return this.cursor.text(length, what);
  }

  private async metadata(n_entries: number): Promise<GgufEntry[]> {
    const entries: GgufEntry[] = [];
    const keys = new Set<string>();
    for (let i = 0; i < n_entries; i += 1) {
      const key = await this.text('a metadata key');
      if (keys.has(key)) this.fail(`the metadata key ${shown(key)} stands in the header twice`);
      keys.add(key);
      const type = await this.valueType(shown(key));
      entries.push({ key, type: type.name, value: await this.value(type, shown(key), 0) });
    }
    return entries;
  }

  private async valueType(key: string): Promise<(typeof valueTypes)[number]> {
    const id = await this.number32(`the type of ${key}`);
    return valueTypes[id] ?? this.fail(`${key} has the value type ${id}, and there are types 0 to ${valueTypes.length - 1}`);
  }

  private async value(type: (typeof valueTypes)[number], key: string, depth: number): Promise<GgufValue> {
    const { cursor } = this;
    if (type.name === 'string') return this.text(key);
    if (type.name === 'array') return this.array(key, depth + 1);
    await cursor.need(type.bytes, key);
    if (type.read !== undefined) return cursor.number(type.bytes, type.read);
    const byte = cursor.take(1)[0] ?? 0;
    if (byte > 1) this.fail(`${key} is a bool with the value ${byte}, which is neither 0 nor 1`);
    return byte === 1;
  }

  private async array(key: string, depth: number): Promise<GgufArray> {
    if (depth > deepest) this.fail(`${key} holds arrays within arrays, more than ${deepest} deep`);
    const type = await this.valueType(`the elements of ${key}`);
    const length = await this.count(`the length of ${key}`, type.bytes);
    const first: GgufValue[] = [];
    const n_shown = Math.min(length, shownElements);
    for (let i = 0; i < n_shown; i += 1) first.push(await this.value(type, key, depth));
    if (type.name === 'string') for (let i = n_shown; i < length; i += 1) await this.passText(key);
    else if (type.name === 'array') for (let i = n_shown; i < length; i += 1) await this.array(key, depth + 1);
    else this.cursor.skip((length - n_shown) * type.bytes, key);
    return { type: type.name, length, first };
  }

  private async passText(key: string): Promise<void> {
    const { cursor } = this;
    if (!cursor.has(8)) await cursor.need(8, key);
    const length = cursor.number(8, (view, at, little) => view.getBigUint64(at, little));
    if (length > BigInt(cursor.left))
      this.fail(`an element of ${key} claims ${length} bytes, and the file has only ${cursor.left} left: it is truncated or damaged`);
    cursor.skip(Number(length), key);
  }

  private async tensorInfos(n_tensors: number): Promise<(Omit<GgufTensor, 'offset'> & { relative: number })[]> {
    const infos: (Omit<GgufTensor, 'offset'> & { relative: number })[] = [];
    const names = new Set<string>();
    for (let i = 0; i < n_tensors; i += 1) {
      const name = await this.text('the name of a tensor');
      if (names.has(name)) this.fail(`the tensor ${shown(name)} stands in the header twice`);
      names.add(name);
      infos.push(await this.tensorInfo(name));
    }
    return infos;
  }

  private async tensorInfo(name: string): Promise<Omit<GgufTensor, 'offset'> & { relative: number }> {
    const { cursor } = this;
    const n_dimensions = await this.number32(`the number of dimensions of ${shown(name)}`);
    if (n_dimensions > mostDimensions)
      this.fail(`${shown(name)} has ${n_dimensions} dimensions, and no tensor has more than ${mostDimensions}: the header is damaged`);
    await cursor.need(8 * n_dimensions + 12, `the shape of ${shown(name)}`);
    const extents = Array.from({ length: n_dimensions }, () => cursor.number(8, (view, at, little) => view.getBigUint64(at, little)));
    const id = cursor.number(4, (view, at, little) => view.getUint32(at, little));
    const relative = cursor.number(8, (view, at, little) => view.getBigUint64(at, little));
    const type = ggmlTypes.get(id);
    const count = extents.reduce((product, extent) => product * extent, 1n);
    // Beyond this a product is rounded, and a wrong one could look right.
    if (extents.some((extent) => extent > largest) || count > largest)
      this.fail(`${shown(name)} has the shape [${extents.join(', ')}]: larger than any file`);
    if (relative > largest) this.fail(`${shown(name)} begins at byte ${relative} of the data: beyond any file`);
    const blockSize = BigInt(type?.blockSize ?? 1);
    if (type !== undefined && (extents[0] ?? 1n) % blockSize !== 0n)
      this.fail(`${shown(name)} has rows of ${extents[0]}, which ${type.name} cannot divide into its blocks of ${type.blockSize}`);
    const bytes = type === undefined ? null : Number((count / blockSize) * BigInt(type.blockBytes));
    return { name, type: type?.name ?? `type ${id}`, shape: extents.map(Number).reverse(), bytes, relative: Number(relative) };
  }
}

const largest = BigInt(Number.MAX_SAFE_INTEGER);

const alignedTo = (position: number, alignment: number): number => Math.ceil(position / alignment) * alignment;

/** A name of the file for a message, cut when it is long. */
const shown = (name: string): string => (name.length > 80 ? `${name.slice(0, 80)}…` : name);

function alignmentOf(metadata: readonly GgufEntry[], problems: string[]): number {
  const entry = metadata.find(({ key }) => key === 'general.alignment');
  if (entry === undefined) return 32;
  const { value } = entry;
  // ggml takes powers of two.
  if (entry.type === 'uint32' && typeof value === 'number' && value > 0 && (value & (value - 1)) === 0) return value;
  problems.push(
    `general.alignment is ${typeof value === 'object' ? 'an array' : String(value)}, which is no power of two in 32 bits; 32 is taken.`,
  );
  return 32;
}

/** Tensors that are not whole, not aligned, or lie in each other. */
function layoutProblems(tensors: readonly GgufTensor[], dataStart: number, alignment: number, size: number): string[] {
  const problems: string[] = [];
  const unknown = tensors.filter(({ bytes }) => bytes === null);
  const [first] = unknown;
  if (first !== undefined)
    problems.push(
      `${unknown.length} of ${tensors.length} tensors have a type that is not known here, such as ${shown(first.name)} (${first.type}): their size cannot be told.`,
    );
  const crooked = tensors.find(({ offset }) => (offset - dataStart) % alignment !== 0);
  if (crooked !== undefined)
    problems.push(
      `${shown(crooked.name)} begins at byte ${crooked.offset}, which is not aligned to ${alignment} bytes; llama.cpp refuses such a file.`,
    );
  let end = dataStart;
  let before = '';
  for (const { name, offset, bytes } of [...tensors].sort((a, b) => a.offset - b.offset || (a.bytes ?? 0) - (b.bytes ?? 0))) {
    if (offset < end) {
      problems.push(`${shown(name)} begins at byte ${offset}, inside ${shown(before)}, which ends at ${end}.`);
      break;
    }
    [end, before] = [offset + (bytes ?? 0), name];
  }
  const last = tensors.reduce((furthest, { offset, bytes }) => Math.max(furthest, offset + (bytes ?? 0)), dataStart);
  if (tensors.length > 0 && last > size)
    problems.push(`The tensors end at byte ${last}, and the file has only ${size}: it is truncated. Download it again.`);
  return problems;
}
