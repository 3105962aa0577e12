// Tensors of a model folder by name: bytes by location from the description, read by the native queue, fingerprints verified before.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import path from 'node:path';
import type { ModelDescription, ModelFile, ModelTensor } from '../../../schemas/src/generated/plan.js';
import { hashOfHeader } from '../../../schemas/src/model/describe-gguf.js';
import { readGgufHeader } from '../../../schemas/src/model/gguf-header.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { dtypeBytes, HeaderError } from '../../../schemas/src/model/safetensors-header.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { DType } from '../native-core.js';
import type { Device, Tensor } from '../tensor/tensor.js';

/** A tensor and the file that holds its bytes now. */
export interface PlacedTensor {
  tensor: ModelTensor;
  /** Absolute path. */
  file: string;
}

/** What a forward pass or a stage needs of a model on the disk. */
export interface TensorReader {
  readonly device: Device;
  readonly names: readonly string[];
  has(name: string): boolean;
  /** Absolute path of the file that holds the tensor. */
  file(name: string): string;
  /** Enqueues the read; a failing read comes out at the next read or sync of the device. */
  load(name: string): Tensor;
}

const nativeTypes = new Set<string>(['F64', 'F32', 'F16', 'BF16', 'I64', 'I32', 'I8', 'U8', 'F8_E4M3', 'I16']);

export const modelTensors = ({ dir, tensors }: ModelDescription): PlacedTensor[] =>
  tensors.map((tensor) => ({ tensor, file: path.join(dir, tensor.file) }));

/** Of two tensors with one name the later one counts. */
export function openTensorReader(device: Device, tensors: Iterable<PlacedTensor>): TensorReader {
  const places = new Map<string, PlacedTensor>();
  for (const placed of tensors) places.set(placed.tensor.name, placed);
  const placeOf = (name: string): PlacedTensor => {
    const place = places.get(name);
    const [anywhere] = places.values();
    if (place === undefined)
      throw runFailure.fileUnreadable(anywhere ? path.dirname(anywhere.file) : 'the model', `it has no tensor named ${name}`);
    return place;
  };
  return {
    device,
    names: [...places.keys()],
    has: (name) => places.has(name),
    file: (name) => placeOf(name).file,
    load: (name) => {
      const { tensor, file } = placeOf(name);
      return device.fromFile(file, tensor.offset, nativeType({ tensor, file }), tensor.shape);
    },
  };
}

/** `count` values of a tensor from the first on, as a vector: a tensor of any size passes in pieces. */
export function loadPart(device: Device, placed: PlacedTensor, first: number, count: number): Tensor {
  const { tensor, file } = placed;
  return device.fromFile(file, tensor.offset + first * dtypeBytes[tensor.dtype], nativeType(placed), [count]);
}

function nativeType({ tensor: { name, dtype }, file }: PlacedTensor): DType {
  if (!nativeTypes.has(dtype)) throw runFailure.fileUnreadable(file, `${name} has dtype ${dtype}, which the native core cannot read`);
  return dtype as DType;
}

/** Compares every file with its fingerprint, and every tensor with its file, before a byte of weights is used. */
export async function verifyModelFiles(model: ModelDescription): Promise<void> {
  for (const file of model.files) await verifyFingerprint(path.join(model.dir, file.name), file);
  const sizes = new Map(model.files.map((file) => [file.name, file.size]));
  for (const tensor of model.tensors) {
    const place = path.join(model.dir, tensor.file);
    const size = sizes.get(tensor.file);
    if (size === undefined)
      throw runFailure.planInvalid(`tensor ${tensor.name} lies in ${tensor.file}, which is not among the files of the model`);
    const wanted = tensor.shape.reduce((n, extent) => n * extent, dtypeBytes[tensor.dtype]);
    if (wanted !== tensor.bytes)
      throw runFailure.headerInvalid(
        place,
        `${tensor.name} is ${tensor.dtype} [${tensor.shape.join(', ')}], which takes ${wanted} bytes, and its header gives it ${tensor.bytes}`,
      );
    if (tensor.offset + tensor.bytes > size)
      throw runFailure.headerInvalid(place, `${tensor.name} ends at byte ${tensor.offset + tensor.bytes} and the file has ${size}`);
  }
}

async function verifyFingerprint(file: string, expected: ModelFile): Promise<void> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    throw runFailure.fileUnreadable(file, error.message);
  });
  try {
    const { size } = await handle.stat();
    if (size !== expected.size) throw runFailure.modelFileChanged(file, `it has ${size} bytes and had ${expected.size}`);
    const isGguf = /\.gguf$/i.test(expected.name);
    const hash = isGguf
      ? await ggufHeaderHash(file, expected.name)
      : await headerHash(file, size, (offset, length) => readExactly(handle, offset, length));
    if (hash !== expected.header_sha256) throw runFailure.modelFileChanged(file, `its ${isGguf ? 'GGUF' : 'safetensors'} header differs`);
  } finally {
    await handle.close();
  }
}

async function ggufHeaderHash(file: string, name: string): Promise<string> {
  try {
    return await hashOfHeader(nodeFiles, file, await readGgufHeader(nodeFiles, file, name));
  } catch (error) {
    if (error instanceof HeaderError) throw runFailure.modelFileChanged(file, `it is no sound GGUF file any more: ${error.detail}`);
    throw error;
  }
}

/** SHA-256 of the header bytes, length prefix included. */
async function headerHash(file: string, size: number, read: (offset: number, length: number) => Promise<Uint8Array>): Promise<string> {
  if (size < 8) throw runFailure.headerInvalid(file, `it has ${size} bytes, fewer than the 8 of the header length`);
  const prefix = await read(0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (length > size - 8) throw runFailure.headerInvalid(file, `its header is said to have ${length} bytes and the whole file has ${size}`);
  return createHash('sha256')
    .update(prefix)
    .update(await read(8, length))
    .digest('hex');
}

async function readExactly(handle: Awaited<ReturnType<typeof open>>, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw new Error(`${length} bytes wanted at offset ${offset}, ${done} there`);
    done += bytesRead;
  }
  return bytes;
}
