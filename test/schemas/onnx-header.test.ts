// The reader of ONNX files: a file written by the onnx package, a real exported model, every lie that a message can tell, and thousands of damaged files.
import assert from 'node:assert/strict';
import { mkdtempSync, copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { readOnnxHeader, type OnnxHeader } from '../../schemas/src/model/onnx-header.js';
import { HeaderError } from '../../schemas/src/model/safetensors-header.js';
import { damaged } from '../support/damage.js';
import { refusalOf } from '../support/header-refusal.js';
import { inMemory } from '../support/memory-files.js';
import { seededRandom } from '../support/random.js';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../support/shared.js';

const goldenPath = (name: string): string => path.join(repositoryRoot, 'test', 'golden', 'model-files', name);
const small = readFileSync(goldenPath('small.onnx'));

const read = (bytes: Uint8Array): Promise<OnnxHeader> => readOnnxHeader(inMemory(bytes), 'x', 'x.onnx');

const refusal = (bytes: Uint8Array): Promise<string> => refusalOf(read(bytes));

test('a file of the onnx package: versions, operators, initializers of every storage', async () => {
  const header = await readOnnxHeader(nodeFiles, goldenPath('small.onnx'), 'small.onnx');
  assert.deepEqual(
    header.tensors.map(({ name, type, shape, bytes, externalFile }) => [name, type, shape, bytes, externalFile]),
    [
      ['w', 'float', [3, 4], 48, null],
      ['typed', 'float', [2], 8, null],
      ['half', 'float16', [3, 4], 24, null],
      ['four', 'int4', [3], 2, null],
      ['beside', 'float', [3, 4], 48, 'weights.bin'],
    ],
  );
  // The first initializer is 0, 1, 2 … in the file at its offset.
  const offset = header.tensors[0]?.offset ?? 0;
  assert.deepEqual(
    [0, 1, 11].map((i) => small.readFloatLE(offset + 4 * i)),
    [0, 1, 11],
  );
  assert.deepEqual([header.tensors[1]?.offset, header.tensors[4]?.offset], [null, 16]);
  assert.deepEqual([header.irVersion, header.producer, header.graphName, header.n_nodes], [10, 'maker 1', 'small', 4]);
  assert.deepEqual(header.opsets, [
    { domain: '', version: 21 },
    { domain: 'com.example', version: 1 },
  ]);
  assert.deepEqual(header.operators, [
    ['Add', 1],
    ['Constant', 1],
    ['MatMul', 1],
    ['com.example.FusedThing', 1],
  ]);
  assert.deepEqual(
    [header.inputs, header.outputs, header.metadata, header.problems],
    [['x'], ['out'], [{ key: 'purpose', value: 'a test' }], []],
  );
});

test('weights beside the model: missing, cut, and outside of its folder', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'bitwright-onnx-'));
  try {
    copyFileSync(goldenPath('small.onnx'), path.join(dir, 'small.onnx'));
    const problems = async (): Promise<string[]> => (await readOnnxHeader(nodeFiles, path.join(dir, 'small.onnx'), 'small.onnx')).problems;
    assert.match((await problems()).join(), /weights\.bin holds weights of this model and is not beside it/);
    writeFileSync(path.join(dir, 'weights.bin'), Buffer.alloc(63));
    assert.match((await problems()).join(), /weights\.bin has 63 bytes, and the weights in it end at byte 64: it is truncated/);
    const outside = Buffer.from(small.toString('latin1').replace('weights.bin', '../a/../b/c'), 'latin1');
    writeFileSync(path.join(dir, 'small.onnx'), outside);
    assert.match((await problems()).join(), /"\.\.\/a\/\.\.\/b\/c", which is no file in the model's folder; it is not looked up/);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a real exported network', { skip: skipWithoutShared }, async () => {
  const header = await readOnnxHeader(nodeFiles, sharedPath('data', 'vision', 'mnist-cnn.onnx'), 'mnist-cnn.onnx');
  assert.ok(header.tensors.length > 3 && header.n_nodes > 5, JSON.stringify(header.operators));
  assert.deepEqual(header.problems, []);
  const stored = header.tensors.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  assert.ok(stored > 0.95 * header.size && stored < header.size, `${stored} of ${header.size} bytes`);
});

const varint = (value: bigint | number): Buffer => {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
};
const number = (field: number, value: bigint | number): Buffer => Buffer.concat([varint(field << 3), varint(value)]);
const part = (field: number, ...content: (Buffer | string)[]): Buffer => {
  const bytes = Buffer.concat(content.map((piece) => Buffer.from(piece as string)));
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
};
const model = (...fields: Buffer[]): Buffer => Buffer.concat([number(1, 8), part(7, ...fields)]);

test('dimensions one by one and packed, names that are markup, an initializer that says another size', async () => {
  const { tensors, problems } = await read(
    model(
      part(5, number(1, 2), number(1, 3), number(2, 1), part(8, '<img onerror=…>'), part(9, Buffer.alloc(24))),
      part(5, part(1, varint(2), varint(300)), number(2, 10), part(8, 'b'), part(9, Buffer.alloc(4))),
    ),
  );
  assert.deepEqual(
    tensors.map(({ name, type, shape }) => [name, type, shape]),
    [
      ['<img onerror=…>', 'float', [2, 3]],
      ['b', 'float16', [2, 300]],
    ],
  );
  assert.deepEqual(problems, ['b is float16 [2, 300], 1200 bytes, but 4 are stored.']);
});

/** What is refused, with the part of the sentence that names the reason. */
const lies: readonly [what: string, bytes: Uint8Array, reason: RegExp][] = [
  ['an empty file', new Uint8Array(0), /neither a version nor a graph/],
  ['zeros', Buffer.alloc(64), /byte 0 begins no field/],
  ['a text', Buffer.from('hello, this is a text'), /wire type|begins no field|claims|beyond|neither/],
  ['a graph beyond the file', Buffer.concat([varint((7 << 3) | 2), varint(1000), Buffer.alloc(10)]), /field 7 at byte 0 claims 1000 bytes/],
  ['a length of 2^64 - 1', Buffer.concat([varint((7 << 3) | 2), varint(-1)]), /claims 18446744073709551615 bytes/],
  ['a number of eleven bytes', Buffer.concat([varint(1 << 3), Buffer.alloc(11, 0xff)]), /more than ten bytes/],
  ['a number that is cut', Buffer.concat([varint(1 << 3), Buffer.from([0x80])]), /cut off/],
  ['a group', Buffer.from([(1 << 3) | 3, 0]), /wire type 3/],
  ['a fixed number beyond the file', Buffer.from([(1 << 3) | 1, 0, 0]), /goes beyond what it stands in/],
  ['a negative size', model(part(5, number(1, -4), number(2, 1), part(8, 'a'))), /a has the shape \[-4\], which no tensor can have/],
  ['sizes whose product overflows', model(part(5, number(1, 2 ** 40), number(1, 2 ** 40), number(2, 1))), /no tensor can have/],
  ['a hundred dimensions', model(part(5, part(1, Buffer.alloc(100, 1)), number(2, 1), part(8, 'a'))), /more than 64 dimensions/],
];
for (const [what, bytes, reason] of lies)
  test(`refused: ${what}`, async () => {
    assert.match(await refusal(bytes), reason);
  });

test('a model of ten million bytes of weights is stepped over, not read', async () => {
  const raw = Buffer.alloc(10_000_000);
  const bytes = model(part(5, number(1, raw.length), number(2, 3), part(8, 'a'), part(9, raw)), part(2, 'behind'));
  let n_read = 0;
  const files = inMemory(bytes);
  const header = await readOnnxHeader(
    {
      ...files,
      readRange: (file, offset, length) => {
        n_read += Math.min(length, bytes.length - offset);
        return files.readRange(file, offset, length);
      },
    },
    'x',
    'x.onnx',
  );
  assert.deepEqual([header.graphName, header.tensors[0]?.bytes], ['behind', raw.length]);
  assert.ok(n_read < 2_200_000, `${n_read} bytes were read`);
});

test('four thousand damaged files: a refusal or tensors that are told truly, nothing else', async () => {
  const random = seededRandom(20_261_121);
  let accepted = 0;
  for (let round = 0; round < 4000; round += 1) {
    const bytes = damaged(small, small.length, random);
    try {
      const { tensors } = await read(bytes);
      accepted += 1;
      for (const { shape, bytes: n, offset, externalFile } of tensors) {
        assert.ok(shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0));
        assert.ok(n === null || (Number.isSafeInteger(n) && n >= 0));
        assert.ok(offset === null || externalFile !== null || offset <= bytes.length);
      }
    } catch (error) {
      if (error instanceof HeaderError) continue;
      throw new Error(`round ${round}, ${Buffer.from(bytes).toString('hex')}: ${String(error)}`, { cause: error });
    }
  }
  assert.ok(accepted > 100 && accepted < 3500, `${accepted} of 4000 were accepted`);
});
