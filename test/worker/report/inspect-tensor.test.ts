// The statistics of a tensor are the same whether it is read whole or in pieces.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import {
  channelPieces,
  levelsOf,
  onePiece,
  storedMatrix,
  storedPieces,
  tensorStatistics,
  wholeMatrix,
} from '../../../worker/src/report/inspect-tensor.js';
import { withDevice } from '../../support/native-device.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

function fileOf(values: Float32Array, shape: readonly number[] = [values.length]): string {
  const file = path.join(temporaryFolder('inspect-tensor'), 'x.safetensors');
  const header = Buffer.from(JSON.stringify({ t: { dtype: 'F32', shape, data_offsets: [0, values.byteLength] } }));
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

test('one row and one column of a matrix, its rows in pieces: the numbers of that channel alone', () =>
  withDevice(async (device) => {
    // Row r, column c: 100 r + c, and an outlier in one place.
    const [rows, columns] = [37, 11];
    const values = Float32Array.from({ length: rows * columns }, (_, i) => 100 * Math.floor(i / columns) + (i % columns));
    values[5 * columns + 3] = -9000;
    const placed = await placedIn(fileOf(values, [rows, columns]));
    const stored = storedMatrix(device, placed);
    const row = await tensorStatistics('t', channelPieces(stored, { axis: 'row', index: 36 }));
    assert.deepEqual([row.shape, row.count, row.min, row.max], [[columns], columns, 3600, 3610]);
    // Three rows at a time; the last piece has one.
    const column = await tensorStatistics('t', channelPieces(stored, { axis: 'column', index: 3 }, 3 * columns));
    assert.deepEqual([column.shape, column.count, column.min, column.max], [[rows], rows, -9000, 3603]);
    assert.equal(
      column.histogram.counts.reduce((sum, count) => sum + count, 0),
      rows,
    );
    using whole = device.fromFloats([rows, columns], values);
    const known = wholeMatrix('t', whole);
    assert.deepEqual(await tensorStatistics('t', channelPieces(known, { axis: 'column', index: 3 })), column);
    const levels = await levelsOf(channelPieces(known, { axis: 'column', index: 0 }));
    assert.deepEqual(
      levels,
      Array.from({ length: rows }, (_, i) => 100 * i),
    );
    assert.equal((await levelsOf(onePiece(whole))).length, rows * columns);
    assert.throws(
      () => channelPieces(known, { axis: 'column', index: columns }),
      /t has no such channel: its columns go from 0 to 10, and 11 was asked for/,
    );
    assert.throws(() => channelPieces(known, { axis: 'row', index: -1 }), /its rows go from 0 to 36, and -1 was asked for/);
    using line = device.fromFloats([4], new Float32Array(4));
    assert.throws(() => wholeMatrix('bias', line), /bias has no such channel: its shape is \[4\], and only a matrix has rows and columns/);
  }));
