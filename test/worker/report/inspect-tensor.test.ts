// The statistics of a tensor are the same whether it is read whole or in pieces.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import { storedPieces, tensorStatistics } from '../../../worker/src/report/inspect-tensor.js';
import { withDevice } from '../../support/native-device.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

function fileOf(values: Float32Array): string {
  const file = path.join(temporaryFolder('inspect-tensor'), 'x.safetensors');
  const header = Buffer.from(JSON.stringify({ t: { dtype: 'F32', shape: [values.length], data_offsets: [0, values.byteLength] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(file, Buffer.concat([length, header, Buffer.from(values.buffer)]));
  return file;
}

async function placedIn(file: string) {
  const { tensors } = await readSafetensorsHeader(nodeFiles, file, path.basename(file));
  return { tensor: tensors[0]!, file };
}

test('whole and in pieces, the last of them short: the same numbers', () =>
  withDevice(async (device) => {
    const values = Float32Array.from({ length: 1003 }, (_, i) => Math.sin(i) * (i % 7));
    [values[5], values[600], values[1002]] = [NaN, Infinity, 42];
    const placed = await placedIn(fileOf(values));
    const whole = await tensorStatistics('t', storedPieces(device, placed));
    const pieces = await tensorStatistics('t', storedPieces(device, placed, 100));
    assert.deepEqual([whole.count, whole.n_nan, whole.n_inf, whole.max, whole.absmax], [1003, 1, 1, 42, 42]);
    assert.deepEqual(pieces.histogram, whole.histogram);
    assert.equal(
      whole.histogram.counts.reduce((sum, count) => sum + count, 0),
      1001,
    );
    for (const key of ['count', 'n_nan', 'n_inf', 'min', 'max', 'absmax'] as const) assert.equal(pieces[key], whole[key], key);
    for (const key of ['mean', 'std'] as const) assert.ok(Math.abs(pieces[key] - whole[key]) < 1e-12, key);
  }));

test('a piece without a finite value, one value alone, and none at all', () =>
  withDevice(async (device) => {
    const mixed = await tensorStatistics('t', storedPieces(device, await placedIn(fileOf(Float32Array.of(NaN, NaN, -3, -1))), 2));
    assert.deepEqual([mixed.min, mixed.max, mixed.absmax, mixed.n_nan], [-3, -1, 3, 2]);
    const single = await tensorStatistics('t', storedPieces(device, await placedIn(fileOf(Float32Array.of(2)))));
    assert.deepEqual([single.min, single.max, single.histogram.min, single.histogram.max], [2, 2, 1.5, 2.5]);
    const none = await tensorStatistics('t', storedPieces(device, await placedIn(fileOf(new Float32Array(0)))));
    assert.deepEqual([none.count, none.min, none.std], [0, 0, 0]);
  }));

test('a file that is shorter than its header says is a failure, not a number', () =>
  withDevice(async (device) => {
    const file = fileOf(new Float32Array(64));
    const placed = await placedIn(file);
    writeFileSync(file, readFileSync(file).subarray(0, -8));
    await assert.rejects(tensorStatistics('t', storedPieces(device, placed, 10)), /x\.safetensors/);
  }));
