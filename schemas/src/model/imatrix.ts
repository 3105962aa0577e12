// An importance matrix of llama.cpp's llama-imatrix → for each tensor where its sums of squared inputs lie. Both forms are read: GGUF, with NAME.in_sum2 beside NAME.counts,
// and the legacy one of .dat files. Every value is looked at, so that whoever takes a sum by its place finds a number that is none below zero.
// Sources: ggml-org/llama.cpp, tools/imatrix/imatrix.cpp, which writes them, and common/imatrix-loader.cpp, as llama-quantize reads them.
import { readGgufHeader, type GgufTensor } from './gguf-header.js';
import type { ModelFiles } from './model-files.js';
import { RangeCursor } from './range-cursor.js';
import { HeaderError } from './safetensors-header.js';

export interface ImatrixEntry {
  /** Byte of the file at which its sums begin: one little-endian float32 for each column. */
  offset: number;
  columns: number;
  /** Divides the sums into means; 0: no row reached the tensor. */
  count: number;
  /** Of its values in their order: tells when another file has come into the place of the one that was looked at. */
  sum: number;
}

/** By the name of the tensor in GGUF, such as blk.0.attn_q.weight. */
export type Imatrix = ReadonlyMap<string, ImatrixEntry>;

/** One of a model with 400 billion weights has less than a hundred megabytes. */
const largestFile = 1 << 30;
const mostColumns = 1 << 24;

export async function readImatrix(files: ModelFiles, file: string, name: string): Promise<Imatrix> {
  const size = await files.size(file);
  if (size === null) throw new HeaderError(name, 'the file does not exist');
  const magic = new TextDecoder('latin1').decode(await files.readRange(file, 0, Math.min(4, size)));
  const found = magic === 'GGUF' ? await readGguf(files, file, name) : await readLegacy(new RangeCursor(files, file, name, size));
  if (found.size === 0) throw new HeaderError(name, 'it holds no sums of any tensor');
  return found;
}

async function readGguf(files: ModelFiles, file: string, name: string): Promise<Imatrix> {
  const { tensors, problems, littleEndian, size } = await readGgufHeader(files, file, name);
  const sums = tensors.filter((tensor) => tensor.name.endsWith('.in_sum2'));
  if (sums.length === 0)
    throw new HeaderError(
      name,
      `it is a GGUF file whose ${tensors.length} tensors have no NAME.in_sum2 among them, as an importance matrix has`,
    );
  if (problems[0] !== undefined) throw new HeaderError(name, problems[0].replace(/\.$/, ''));
  if (!littleEndian) throw new HeaderError(name, 'it is big-endian');
  if (size > largestFile) throw new HeaderError(name, `it has ${size} bytes, more than any importance matrix`);
  const bytes = await files.readRange(file, 0, size);
  if (bytes.length !== size) throw new HeaderError(name, `the file ends at byte ${bytes.length} while it is read`);
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const found = new Map<string, ImatrixEntry>();
  for (const tensor of sums) {
    const module = tensor.name.slice(0, -'.in_sum2'.length);
    const counts = byName.get(`${module}.counts`);
    if (counts === undefined) throw new HeaderError(name, `${module}.in_sum2 stands without ${module}.counts`);
    for (const each of [tensor, counts])
      if (each.type !== 'F32') throw new HeaderError(name, `${each.name} is ${each.type}, and sums and counts are F32`);
    const columns = elements(tensor);
    const [count = 0, ...more] = floats(bytes, counts);
    // Of experts, which have a count each, and are no layers that are quantized here.
    if (more.length > 0) continue;
    if (!(count >= 0 && Number.isFinite(count))) throw new HeaderError(name, `the count of ${module} is ${count}`);
    const sum = sumOf(floats(bytes, tensor), module, name);
    found.set(module, { offset: tensor.offset, columns, count: Math.round(count), sum });
  }
  return found;
}

/** Numbers of 32 bits: how many entries; for each the length of its name, the name, calls, how many values, the values. What may follow says where the texts were. */
async function readLegacy(cursor: RangeCursor): Promise<Imatrix> {
  const { name } = cursor;
  const fail = (detail: string): never => {
    throw new HeaderError(name, `it is neither a GGUF file nor an importance matrix of the legacy form: ${detail}`);
  };
  const number = async (what: string, least: number, most: number): Promise<number> => {
    if (cursor.left < 4) fail(`the file ends at byte ${cursor.size}, before ${what}`);
    await cursor.need(4, what);
    const value = cursor.number(4, (view, at, little) => view.getInt32(at, little));
    return value >= least && value <= most ? value : fail(`${what} at byte ${cursor.position - 4} is ${value}`);
  };
  const found = new Map<string, ImatrixEntry>();
  const n_entries = await number('the number of entries', 1, Math.floor(cursor.size / 17));
  for (let i = 0; i < n_entries; i += 1) {
    const length = await number('the length of a name', 1, 1024);
    if (length > cursor.left) fail('the file ends within a name');
    const module = await cursor.text(length, 'a name');
    if (found.has(module)) fail(`${module} stands in it twice`);
    const calls = await number(`the number of calls of ${module}`, 0, 0x7fffffff);
    const columns = await number(`the number of values of ${module}`, 1, mostColumns);
    const offset = cursor.position;
    await cursor.need(4 * columns, `the values of ${module}`);
    const sum = sumOf(floatsOf(cursor.take(4 * columns)), module, name);
    // Without calls llama-quantize takes the values as they are.
    found.set(module, { offset, columns, count: Math.max(1, calls), sum });
  }
  return found;
}

const elements = ({ shape }: GgufTensor): number => shape.reduce((product, extent) => product * extent, 1);
const floats = (bytes: Uint8Array, { offset, bytes: n }: GgufTensor): Float32Array => floatsOf(bytes.subarray(offset, offset + (n ?? 0)));

/** Copied, as they need not lie where a float may. */
export const floatsOf = (bytes: Uint8Array): Float32Array => new Float32Array(new Uint8Array(bytes).buffer);

/** In double precision and in their order, as the worker sums them again. */
export const sumOfValues = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0);

function sumOf(values: Float32Array, module: string, name: string): number {
  const wrong = values.findIndex((value) => !(value >= 0 && value < Infinity));
  if (wrong >= 0) throw new HeaderError(name, `column ${wrong} of ${module} has ${values[wrong]}, which is no sum of squares`);
  return sumOfValues(values);
}
