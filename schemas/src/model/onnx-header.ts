// ONNX file → versions, operators and the table of its initializers, read in ranges: weights inside the file are stepped over, those beside it are looked up by size alone.
// The format is protobuf, of which this needs four wire types and five messages; a library would read the weights as well, and models may be larger than its limit of 2 GB.
// Source: onnx/onnx, onnx.proto. Subgraphs of If and Loop and tensors in attributes of nodes are passed over.
import path from 'node:path';
import type { ModelFiles } from './model-files.js';
import { RangeCursor } from './range-cursor.js';
import { HeaderError } from './safetensors-header.js';

export interface OnnxTensor {
  name: string;
  /** As in TensorProto.DataType, in lower case: float16, int4. */
  type: string;
  shape: number[];
  /** By type and shape; null: strings, or a type that is not known. */
  bytes: number | null;
  /** The file beside the model that holds the data; null: the model itself. */
  externalFile: string | null;
  /** Of the first byte in its file; null: the values are written one by one, or there are none. */
  offset: number | null;
}

export interface OnnxHeader {
  irVersion: number | null;
  producer: string;
  opsets: { domain: string; version: number }[];
  graphName: string;
  /** Type of operator → number of nodes, most first; another domain than that of ONNX stands before the name. */
  operators: [name: string, nodes: number][];
  n_nodes: number;
  inputs: string[];
  outputs: string[];
  metadata: { key: string; value: string }[];
  tensors: OnnxTensor[];
  size: number;
  problems: string[];
}

/** TensorProto.DataType by id, with the bits of an element; null where it has no fixed size. */
const dataTypes: readonly (readonly [name: string, bits: number | null])[] = [
  ['undefined', null],
  ['float', 32],
  ['uint8', 8],
  ['int8', 8],
  ['uint16', 16],
  ['int16', 16],
  ['int32', 32],
  ['int64', 64],
  ['string', null],
  ['bool', 8],
  ['float16', 16],
  ['double', 64],
  ['uint32', 32],
  ['uint64', 64],
  ['complex64', 64],
  ['complex128', 128],
  ['bfloat16', 16],
  ['float8e4m3fn', 8],
  ['float8e4m3fnuz', 8],
  ['float8e5m2', 8],
  ['float8e5m2fnuz', 8],
  ['uint4', 4],
  ['int4', 4],
  ['float4e2m1', 4],
  ['float8e8m0', 8],
  ['uint2', 2],
  ['int2', 2],
  // How six bits are packed no released specification says.
  ['float6e2m3', null],
  ['float6e3m2', null],
];

export async function readOnnxHeader(files: ModelFiles, file: string, name: string): Promise<OnnxHeader> {
  const size = await files.size(file);
  if (size === null) throw new HeaderError(name, 'the file does not exist');
  const reader = new OnnxReader(new RangeCursor(files, file, name, size));
  const header = await reader.read();
  header.problems.push(...(await externalProblems(header.tensors, files, path.dirname(file))));
  return header;
}

/** A field of a message: a number, or a range of bytes that begins at the cursor. */
interface Field {
  number: number;
  /** Of a varint; null where the field is bytes or of fixed width. */
  value: bigint | null;
  /** First byte behind it. */
  end: number;
}

interface RawTensor {
  dims: bigint[];
  dataType: number;
  name: string;
  /** Where raw_data stands. */
  raw: { offset: number; length: number } | null;
  external: Map<string, string>;
  isExternal: boolean;
}

class OnnxReader {
  private readonly header: OnnxHeader;
  private readonly operators = new Map<string, number>();
  private hasGraph = false;

  constructor(private readonly cursor: RangeCursor) {
    this.header = {
      irVersion: null,
      producer: '',
      opsets: [],
      graphName: '',
      operators: [],
      n_nodes: 0,
      inputs: [],
      outputs: [],
      metadata: [],
      tensors: [],
      size: cursor.size,
      problems: [],
    };
  }

  async read(): Promise<OnnxHeader> {
    const { header } = this;
    let version = '';
    for await (const { number, value } of this.fields(this.cursor.size)) {
      if (number === 1 && value !== null) header.irVersion = Number(value);
      else if (number === 2) header.producer = await this.text('producer_name');
      else if (number === 3) version = await this.text('producer_version');
      else if (number === 7) await this.graph();
      else if (number === 8) await this.opset();
      else if (number === 14) header.metadata.push(await this.entry());
    }
    if (header.irVersion === null && !this.hasGraph) this.fail('it has neither a version nor a graph, so it is no ONNX model');
    header.producer = `${header.producer} ${version}`.trim();
    header.operators = [...this.operators].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    if (!this.hasGraph) header.problems.push('The model has no graph.');
    return header;
  }

  private fail(detail: string): never {
    throw new HeaderError(this.cursor.name, detail);
  }

  /** End of the bytes field that is being read. */
  private end = 0;

  /** The fields of a message that ends at `end`. What its caller does not read of a field is stepped over. */
  private async *fields(end: number): AsyncGenerator<Field> {
    const { cursor } = this;
    while (cursor.position < end) {
      const at = cursor.position;
      const tag = await this.varint(end);
      const [number, wire] = [Number(tag >> 3n), Number(tag & 7n)];
      if (number === 0 || tag > 0xffff_ffffn) this.fail(`byte ${at} begins no field of a message: the file is damaged or no ONNX model`);
      let field: Field;
      if (wire === 0) field = { number, value: await this.varint(end), end: cursor.position };
      else if (wire === 1 || wire === 5) field = { number, value: null, end: cursor.position + (wire === 1 ? 8 : 4) };
      else if (wire === 2) {
        const length = await this.varint(end);
        if (length > BigInt(end - cursor.position))
          this.fail(
            `field ${number} at byte ${at} claims ${length} bytes, and what it stands in has only ${end - cursor.position} left: the file is truncated or damaged`,
          );
        field = { number, value: null, end: cursor.position + Number(length) };
      } else
        this.fail(`field ${number} at byte ${at} has the wire type ${wire}, which ONNX does not use: the file is damaged or no ONNX model`);
      if (field.end > end) this.fail(`field ${number} at byte ${at} goes beyond what it stands in: the file is truncated or damaged`);
      this.end = field.end;
      yield field;
      if (cursor.position > field.end) this.fail(`field ${number} at byte ${at} is read beyond its end: the file is damaged`);
      cursor.skip(field.end - cursor.position, `field ${number}`);
    }
  }

  private async varint(end: number): Promise<bigint> {
    const { cursor } = this;
    const at = cursor.position;
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (cursor.position >= end) this.fail(`the number at byte ${at} is cut off: the file is truncated or damaged`);
      if (!cursor.has(1)) await cursor.need(1, 'a number');
      const byte = cursor.take(1)[0] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    return this.fail(`the number at byte ${at} has more than ten bytes: the file is damaged or no ONNX model`);
  }

  /** The bytes field at the cursor. */
  private text(what: string): Promise<string> {
    return this.cursor.text(this.end - this.cursor.position, what);
  }

  private async opset(): Promise<void> {
    const opset = { domain: '', version: 0 };
    for await (const { number, value } of this.fields(this.end)) {
      if (number === 1) opset.domain = await this.text('a domain');
      else if (number === 2 && value !== null) opset.version = Number(value);
    }
    this.header.opsets.push(opset);
  }

  private async entry(): Promise<{ key: string; value: string }> {
    const entry = { key: '', value: '' };
    for await (const { number } of this.fields(this.end)) {
      if (number === 1) entry.key = await this.text('a key');
      else if (number === 2) entry.value = await this.text('a value');
    }
    return entry;
  }

  private async graph(): Promise<void> {
    const { header } = this;
    this.hasGraph = true;
    for await (const { number } of this.fields(this.end)) {
      if (number === 1) await this.node();
      else if (number === 2) header.graphName = await this.text('the name of the graph');
      else if (number === 5) header.tensors.push(this.tensorOf(await this.tensor()));
      else if (number === 11) header.inputs.push(await this.nameOf(1));
      else if (number === 12) header.outputs.push(await this.nameOf(1));
    }
  }

  private async node(): Promise<void> {
    let [operator, domain] = ['', ''];
    for await (const { number } of this.fields(this.end)) {
      if (number === 4) operator = await this.text('an operator');
      else if (number === 7) domain = await this.text('a domain');
    }
    const name = domain === '' || domain === 'ai.onnx' ? operator : `${domain}.${operator}`;
    this.operators.set(name, (this.operators.get(name) ?? 0) + 1);
    this.header.n_nodes += 1;
  }

  private async nameOf(wanted: number): Promise<string> {
    let name = '';
    for await (const { number } of this.fields(this.end)) if (number === wanted) name = await this.text('a name');
    return name;
  }

  private async tensor(): Promise<RawTensor> {
    const { cursor } = this;
    const tensor: RawTensor = { dims: [], dataType: 0, name: '', raw: null, external: new Map(), isExternal: false };
    for await (const { number, value, end } of this.fields(this.end)) {
      if (number === 1 && value !== null) tensor.dims.push(value);
      else if (number === 1) while (cursor.position < end) tensor.dims.push(await this.varint(end));
      else if (number === 2 && value !== null) tensor.dataType = Number(value);
      else if (number === 8) tensor.name = await this.text('the name of a tensor');
      else if (number === 9 && value === null) tensor.raw = { offset: cursor.position, length: end - cursor.position };
      else if (number === 13) {
        const entry = await this.entry();
        tensor.external.set(entry.key, entry.value);
      } else if (number === 14) tensor.isExternal = value === 1n;
      if (tensor.dims.length > mostDimensions)
        this.fail(`${shown(tensor.name)} has more than ${mostDimensions} dimensions: the file is damaged or no ONNX model`);
    }
    return tensor;
  }

  private tensorOf({ dims, dataType, name, raw, external, isExternal }: RawTensor): OnnxTensor {
    const { header } = this;
    const [type, bits] = dataTypes[dataType] ?? [`type ${dataType}`, null];
    const count = dims.reduce((product, extent) => product * extent, 1n);
    // A negative size is a large one here.
    if (dims.some((extent) => extent > largest) || count * 16n > largest)
      this.fail(`${shown(name)} has the shape [${dims.map((extent) => BigInt.asIntN(64, extent)).join(', ')}], which no tensor can have`);
    const bytes = bits === null ? null : Number((count * BigInt(bits) + 7n) / 8n);
    const shape = dims.map(Number);
    if (raw !== null && bytes !== null && raw.length !== bytes)
      header.problems.push(`${shown(name)} is ${type} [${shape.join(', ')}], ${bytes} bytes, but ${raw.length} are stored.`);
    if (!isExternal) return { name, type, shape, bytes, externalFile: null, offset: raw?.offset ?? null };
    const offset = Number(external.get('offset') ?? 0);
    if (!Number.isSafeInteger(offset) || offset < 0)
      header.problems.push(`${shown(name)} begins at ${shown(external.get('offset') ?? '')} of its file, which is no position in bytes.`);
    const length = external.get('length');
    if (length !== undefined && bytes !== null && Number(length) !== bytes)
      header.problems.push(
        `${shown(name)} is ${type} [${shape.join(', ')}], ${bytes} bytes, but ${shown(length)} are said to be in its file.`,
      );
    const isPosition = Number.isSafeInteger(offset) && offset >= 0;
    return { name, type, shape, bytes, externalFile: external.get('location') ?? '', offset: isPosition ? offset : null };
  }
}

const largest = BigInt(Number.MAX_SAFE_INTEGER);
const mostDimensions = 64;

/** A name of the file for a message, cut when it is long. */
const shown = (name: string): string => (name.length > 80 ? `${name.slice(0, 80)}…` : name);

/** Files beside the model that are missing, too short, or outside of its folder, where nothing is looked up. */
async function externalProblems(tensors: readonly OnnxTensor[], files: ModelFiles, dir: string): Promise<string[]> {
  const needed = new Map<string, number>();
  for (const { externalFile, offset, bytes } of tensors)
    if (externalFile !== null) needed.set(externalFile, Math.max(needed.get(externalFile) ?? 0, (offset ?? 0) + (bytes ?? 0)));
  const problems: string[] = [];
  for (const [location, end] of needed) {
    const parts = location.split(/[\\/]/);
    if (location === '' || path.posix.isAbsolute(location) || path.win32.isAbsolute(location) || parts.includes('..')) {
      problems.push(
        `Weights are said to be in ${JSON.stringify(shown(location))}, which is no file in the model's folder; it is not looked up.`,
      );
      continue;
    }
    const size = await files.size(path.join(dir, ...parts));
    if (size === null) problems.push(`${shown(location)} holds weights of this model and is not beside it. Put both into one folder.`);
    else if (size < end) problems.push(`${shown(location)} has ${size} bytes, and the weights in it end at byte ${end}: it is truncated.`);
  }
  return problems;
}
