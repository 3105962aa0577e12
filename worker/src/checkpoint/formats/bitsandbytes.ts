// bitsandbytes' storage of 4-bit weights, read back: the tensors stand in worker/src/quantizers/bitsandbytes.ts. NF4 alone; blocks of any size.
import { runFailure } from '../../../../schemas/src/run-failure.js';
import { blockwiseValues, unpackNibbles } from '../../tensor/operations/formats.js';
import { reshape } from '../../tensor/operations/storage.js';
import type { DType } from '../../native-core.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { TensorReader } from '../tensor-reader.js';

interface QuantState {
  blocksize: number;
  dtype: DType;
  shape: [number, number];
  nested: { blocksize: number; offset: number } | null;
}

const dtypes: Readonly<Record<string, DType>> = { bfloat16: 'BF16', float16: 'F16', float32: 'F32' };

/** The weight [rows, columns] in the dtype that it had. */
export async function loadBitsAndBytes(reader: TensorReader, module: string): Promise<Tensor> {
  const state = await readState(reader, module);
  const [rows, columns] = state.shape;
  using packed = reader.load(`${module}.weight`);
  using codes = unpackNibbles(packed, { count: rows * columns });
  using codebook = reader.load(`${module}.weight.quant_map`);
  using magnitudes = loadMagnitudes(reader, module, state);
  return blockwiseValues(codes, magnitudes, codebook, null, { blocksize: state.blocksize, rows, columns, dtype: state.dtype });
}

function loadMagnitudes(reader: TensorReader, module: string, { nested }: QuantState): Tensor {
  const absmax = reader.load(`${module}.weight.absmax`);
  if (nested === null) return absmax;
  using codes = absmax;
  using outer = reader.load(`${module}.weight.nested_absmax`);
  using codebook = reader.load(`${module}.weight.nested_quant_map`);
  using offset = reader.device.fromFloats([1], Float32Array.of(nested.offset));
  const columns = codes.shape[0] ?? 0;
  using values = blockwiseValues(codes, outer, codebook, offset, { blocksize: nested.blocksize, rows: 1, columns, dtype: 'F32' });
  return reshape(values, [columns]);
}

async function readState(reader: TensorReader, module: string): Promise<QuantState> {
  const name = `${module}.weight.quant_state.bitsandbytes__nf4`;
  using stored = reader.load(name);
  const text = new TextDecoder().decode(await stored.read());
  const unreadable = (why: string) => runFailure.fileUnreadable(reader.file(name), `${name} ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unreadable(`is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const state = value as Readonly<Record<string, unknown>> | null;
  const shape = state?.['shape'];
  const dtype = dtypes[String(state?.['dtype'])];
  const [blocksize, nestedBlocksize, offset] = [state?.['blocksize'], state?.['nested_blocksize'], state?.['nested_offset']];
  if (!Array.isArray(shape) || shape.length !== 2 || !shape.every(isSize) || !isSize(blocksize) || dtype === undefined)
    throw unreadable('does not give blocksize, dtype and two extents of shape');
  const isNested = nestedBlocksize !== undefined;
  if (isNested && (!isSize(nestedBlocksize) || typeof offset !== 'number'))
    throw unreadable('has a nested_blocksize or nested_offset that is no number');
  return {
    blocksize,
    dtype,
    shape: [Number(shape[0]), Number(shape[1])],
    nested: isNested ? { blocksize: nestedBlocksize as number, offset: offset as number } : null,
  };
}

const isSize = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value > 0;
