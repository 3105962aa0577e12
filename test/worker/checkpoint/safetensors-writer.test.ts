// The byte layout of a written safetensors file.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import { placeTensors, writeSafetensors, type TensorToWrite } from '../../../worker/src/checkpoint/safetensors-writer.js';
import { inTemporaryFolder } from '../../support/worker-run.js';

function tensorOf(name: string, dtype: TensorToWrite['dtype'], shape: number[], bytes: number[]): TensorToWrite {
  async function* read(): AsyncIterable<Uint8Array> {
    await Promise.resolve();
    // In two pieces, as a large tensor comes.
    yield Uint8Array.from(bytes.slice(0, 1));
    yield Uint8Array.from(bytes.slice(1));
  }
  return { name, dtype, shape, bytes: bytes.length, read };
}

const tensors = [
  tensorOf('b', 'I8', [3], [1, 2, 3]),
  tensorOf('z', 'BF16', [1], [4, 5]),
  tensorOf('a', 'BF16', [1], [6, 7]),
  tensorOf('shape', 'I64', [1], [8, 0, 0, 0, 0, 0, 0, 0]),
];

test('length, header with format pt padded to 8 bytes, wide types first and then by name', () =>
  inTemporaryFolder(async (dir) => {
    const file = path.join(dir, 'x.safetensors');
    const written = await writeSafetensors(file, tensors, 'a little');
    const bytes = readFileSync(file);
    assert.equal(written.bytes, bytes.length);
    const length = Number(bytes.readBigUInt64LE(0));
    assert.equal(length % 8, 0);
    assert.equal(
      bytes
        .subarray(8, 8 + length)
        .toString()
        .trimEnd(),
      '{"__metadata__":{"format":"pt"},"shape":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"a":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]},"z":{"dtype":"BF16","shape":[1],"data_offsets":[10,12]},"b":{"dtype":"I8","shape":[3],"data_offsets":[12,15]}}',
    );
    assert.deepEqual([...bytes.subarray(8 + length)], [8, 0, 0, 0, 0, 0, 0, 0, 6, 7, 4, 5, 1, 2, 3]);
    assert.deepEqual(readdirSync(dir), ['x.safetensors'], 'no partial file is left');
  }));

test('the places told before writing are the places in the file', () =>
  inTemporaryFolder(async (dir) => {
    const file = path.join(dir, 'x.safetensors');
    await writeSafetensors(file, tensors, 'a little');
    const read = (await readSafetensorsHeader(nodeFiles, file, 'x.safetensors')).tensors;
    const byName = (list: readonly { name: string }[]): unknown => [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
    assert.deepEqual(byName(placeTensors('x.safetensors', tensors)), byName(read));
  }));

test('a tensor that gives other bytes than its header says stops the file', () =>
  inTemporaryFolder(async (dir) => {
    const short = { ...tensors[0]!, bytes: 4, shape: [4] };
    await assert.rejects(writeSafetensors(path.join(dir, 'x.safetensors'), [short], 'a little'), /b gave 3 bytes for its 4/);
    assert.deepEqual(readdirSync(dir), []);
  }));
