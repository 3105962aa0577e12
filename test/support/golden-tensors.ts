// Reads a small safetensors file into numbers, for comparing with what the real packages computed.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../schemas/src/model/safetensors-header.js';

export interface GoldenTensor {
  shape: readonly number[];
  values: Float32Array | Int32Array;
}

/** F32 and I32 tensors by name. */
export async function readGoldenTensors(file: string): Promise<ReadonlyMap<string, GoldenTensor>> {
  const { tensors } = await readSafetensorsHeader(nodeFiles, file, file);
  const bytes = readFileSync(file);
  return new Map(
    tensors.map(({ name, dtype, shape, offset, bytes: length }) => {
      assert.ok(dtype === 'F32' || dtype === 'I32', `${name} is ${dtype}`);
      const part = new Uint8Array(bytes.subarray(offset, offset + length)).buffer;
      return [name, { shape, values: dtype === 'F32' ? new Float32Array(part) : new Int32Array(part) }];
    }),
  );
}

/** The tensor of this name; a file without it ends the test. */
export function goldenOf<T>(tensors: ReadonlyMap<string, T>, name: string): T {
  const tensor = tensors.get(name);
  assert.ok(tensor, `the golden file has no ${name}`);
  return tensor;
}

/** max |a − b| / max |b|. */
export function maxRelative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  let [difference, largest] = [0, 0];
  for (let i = 0; i < b.length; i += 1) {
    difference = Math.max(difference, Math.abs((a[i] ?? NaN) - (b[i] ?? NaN)));
    largest = Math.max(largest, Math.abs(b[i] ?? NaN));
  }
  return difference / largest;
}

/** ‖a − b‖ / ‖b‖. */
export function normRelative(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.equal(a.length, b.length);
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i += 1) {
    difference += ((a[i] ?? NaN) - (b[i] ?? NaN)) ** 2;
    size += (b[i] ?? NaN) ** 2;
  }
  return Math.sqrt(difference / size);
}
