// The reader of GGUF headers: files written by gguf-py, every lie that a header can tell, and thousands of damaged files.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readGgufHeader, type GgufHeader } from '../../schemas/src/model/gguf-header.js';
import { ggmlTypes } from '../../schemas/src/model/gguf-types.js';
import { HeaderError } from '../../schemas/src/model/safetensors-header.js';
import { damaged } from '../support/damage.js';
import { refusalOf } from '../support/header-refusal.js';
import { inMemory } from '../support/memory-files.js';
import { seededRandom } from '../support/random.js';
import { repositoryRoot } from '../support/shared.js';

const golden = (name: string): Uint8Array => readFileSync(path.join(repositoryRoot, 'test', 'golden', 'model-files', name));
const expected = JSON.parse(Buffer.from(golden('expected.json')).toString()) as {
  ggml_types: Record<string, [string, number, number]>;
  tensors: Record<string, { name: string; dtype: string; shape: number[]; bytes: number; offset: number }[]>;
};

const read = (bytes: Uint8Array, size?: number): Promise<GgufHeader> => readGgufHeader(inMemory(bytes, size), 'x', 'x.gguf');

const refusal = (bytes: Uint8Array): Promise<string> => refusalOf(read(bytes));

test('the types and their blocks are those of gguf-py', () => {
  assert.deepEqual(
    [...ggmlTypes].map(([id, { name, blockSize, blockBytes }]) => [String(id), [name, blockSize, blockBytes]]),
    Object.entries(expected.ggml_types),
  );
});

for (const name of ['small.gguf', 'big-endian.gguf'])
  test(`${name}: tensors and metadata are those that gguf-py wrote`, async () => {
    const header = await read(golden(name));
    assert.deepEqual(
      header.tensors.map(({ type, ...tensor }) => ({ ...tensor, dtype: type })),
      expected.tensors[name]?.map(({ dtype, ...tensor }) => ({ ...tensor, dtype })),
    );
    assert.deepEqual([header.version, header.littleEndian, header.alignment, header.problems], [3, name === 'small.gguf', 32, []]);
    const values = new Map(header.metadata.map(({ key, value }) => [key, value]));
    assert.deepEqual(
      ['general.architecture', 'general.name', 'llama.block_count', 'test.flag', 'test.negative'].map((key) => values.get(key)),
      ['llama', 'small', 2, true, -5n],
    );
    assert.ok(Math.abs((values.get('llama.attention.layer_norm_rms_epsilon') as number) - 1e-5) < 1e-12);
    const tokens = values.get('tokenizer.ggml.tokens');
    assert.ok(typeof tokens === 'object');
    assert.deepEqual([tokens.type, tokens.length, tokens.first.length, tokens.first[63]], ['string', 100, 64, 'token 63']);
  });

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string, claimed: bigint | number = Buffer.byteLength(value)): Buffer =>
  Buffer.concat([u64(claimed), Buffer.from(value)]);
const entry = (key: string, type: number, ...value: Buffer[]): Buffer => Buffer.concat([text(key), u32(type), ...value]);
const info = (name: string, extents: readonly (bigint | number)[], type = 0, offset: bigint | number = 0): Buffer =>
  Buffer.concat([text(name), u32(extents.length), ...extents.map(u64), u32(type), u64(offset)]);

interface Parts {
  magic?: string;
  version?: number;
  n_tensors?: bigint;
  n_entries?: bigint;
  entries?: Buffer[];
  infos?: Buffer[];
  data?: number;
}
function file({ magic = 'GGUF', version = 3, entries = [], infos = [], data = 0, ...counts }: Parts): Buffer {
  const { n_tensors = BigInt(infos.length), n_entries = BigInt(entries.length) } = counts;
  const head = Buffer.concat([Buffer.from(magic), u32(version), u64(n_tensors), u64(n_entries), ...entries, ...infos]);
  return Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), Buffer.alloc(data)]);
}

test('sound headers: version 2, nothing at all, a tensor without dimensions, arrays of arrays', async () => {
  assert.equal((await read(file({ version: 2, infos: [info('a', [4])], data: 16 }))).version, 2);
  assert.deepEqual((await read(file({}))).tensors, []);
  const [scalar] = (await read(file({ infos: [info('a', [])], data: 4 }))).tensors;
  assert.deepEqual([scalar?.shape, scalar?.bytes], [[], 4]);
  const nested = entry('k', 9, u32(9), u64(2), u32(0), u64(2), Buffer.from([1, 2]), u32(8), u64(1), text('x'));
  const [found] = (await read(file({ entries: [nested] }))).metadata;
  assert.deepEqual(found?.value, {
    type: 'array',
    length: 2,
    first: [
      { type: 'uint8', length: 2, first: [1, 2] },
      { type: 'string', length: 1, first: ['x'] },
    ],
  });
  const [shape] = (await read(file({ infos: [info('a', [64, 3], 2)], data: 108 }))).tensors;
  assert.deepEqual([shape?.shape, shape?.bytes], [[3, 64], 108]);
});

test('a header over many ranges, texts longer than one, and a name of two million characters', async () => {
  const tokens = Array.from({ length: 300_000 }, (_, i) => text(`t${i}`));
  const long = 'n'.repeat(2_000_000);
  const bytes = file({
    entries: [entry('k', 9, u32(8), u64(tokens.length), Buffer.concat(tokens)), entry('long', 8, text(long))],
    infos: [info(long, [4]), info('b', [4], 0, 32)],
    data: 48,
  });
  const { metadata, tensors, problems } = await read(bytes);
  const value = metadata[0]?.value;
  assert.deepEqual([typeof value === 'object' && value.length, typeof value === 'object' && value.first[63]], [300_000, 't63']);
  assert.equal((metadata[1]?.value as string).length, (1 << 20) + 1);
  assert.equal(tensors[0]?.name.length, (1 << 20) + 1);
  assert.deepEqual([tensors[1]?.name, problems], ['b', []]);
});

/** What is refused, with the part of the sentence that names the reason. */
const lies: readonly [what: string, bytes: Uint8Array, reason: RegExp][] = [
  ['an empty file', new Uint8Array(0), /0 bytes, too few/],
  ['another format', Buffer.alloc(64), /begins with "\\u0000/],
  ['version 1', file({ version: 1 }), /version 1; versions 2 and 3 are read/],
  ['version 4', file({ version: 4 }), /version 4/],
  ['version 0', file({ version: 0 }), /version 0/],
  ['more tensors than bytes', file({ n_tensors: 2n ** 40n }), /number of tensors at byte 8 is 1099511627776, more than/],
  ['2^64 - 1 entries', file({ n_entries: 2n ** 64n - 1n }), /number of metadata entries at byte 16 is 18446744073709551615/],
  ['a key beyond the file', file({ entries: [text('k', 1000)], n_entries: 1n }), /length of a metadata key .* is 1000/],
  ['a value type that is none', file({ entries: [entry('k', 13)], data: 64 }), /k has the value type 13/],
  ['a bool of 2', file({ entries: [entry('k', 7, Buffer.from([2]))] }), /k is a bool with the value 2/],
  [
    'an array beyond the file',
    file({ entries: [entry('k', 9, u32(4), u64(2n ** 60n))], data: 64 }),
    /length of k .* is 1152921504606846976/,
  ],
  [
    'arrays of arrays of arrays …',
    file({ entries: [entry('k', 9, ...Array.from({ length: 20 }, () => Buffer.concat([u32(9), u64(1)])))], data: 64 }),
    /arrays within arrays/,
  ],
  [
    'an element beyond the file',
    file({ entries: [entry('k', 9, u32(8), u64(65), ...Array.from({ length: 64 }, () => text('')), u64(2n ** 50n))], data: 64 }),
    /an element of k claims 1125899906842624/,
  ],
  [
    'a key twice',
    file({ entries: [entry('k', 0, Buffer.from([1])), entry('k', 0, Buffer.from([1]))] }),
    /key k stands in the header twice/,
  ],
  ['a tensor twice', file({ infos: [info('a', [4]), info('a', [4], 0, 32)], data: 48 }), /tensor a stands in the header twice/],
  ['a million dimensions', file({ infos: [Buffer.concat([text('a'), u32(1_000_000)])], data: 99 }), /a has 1000000 dimensions/],
  [
    'a shape that overflows',
    file({ infos: [info('a', [2n ** 40n, 2n ** 40n])], data: 99 }),
    /\[1099511627776, 1099511627776\]: larger than any file/,
  ],
  ['an overflow behind a zero', file({ infos: [info('a', [2n ** 60n, 0])], data: 99 }), /larger than any file/],
  ['an offset beyond any file', file({ infos: [info('a', [4], 0, 2n ** 63n)], data: 99 }), /beyond any file/],
  [
    'a row that blocks do not divide',
    file({ infos: [info('a', [33, 2], 2)], data: 99 }),
    /rows of 33, which Q4_0 cannot divide into its blocks of 32/,
  ],
  ['infos that are cut', file({ infos: [info('a', [4])] }).subarray(0, 50), /needs \d+ bytes, and the file of 50 has only/],
];
for (const [what, bytes, reason] of lies)
  test(`refused: ${what}`, async () => {
    assert.match(await refusal(bytes), reason);
  });

test('told and still shown: cut data, overlaps, crooked offsets, an unknown type, an alignment that is none', async () => {
  const problemsOf = async (parts: Parts): Promise<string> => (await read(file(parts))).problems.join(' ');
  assert.match(await problemsOf({ infos: [info('a', [4])], data: 15 }), /end at byte \d+, and the file has only \d+: it is truncated/);
  assert.match(await problemsOf({ infos: [info('a', [16]), info('b', [4], 0, 32)], data: 64 }), /b begins at byte \d+, inside a/);
  assert.match(await problemsOf({ infos: [info('a', [4], 0, 4)], data: 20 }), /a begins at byte \d+, which is not aligned to 32/);
  assert.match(
    await problemsOf({ infos: [info('a', [4], 31)], data: 16 }),
    /1 of 1 tensors have a type that is not known here, such as a \(type 31\)/,
  );
  assert.match(
    await problemsOf({ entries: [entry('general.alignment', 4, u32(24))] }),
    /general.alignment is 24, which is no power of two/,
  );
  assert.equal(await problemsOf({ infos: [info('a', [4]), info('b', [4], 0, 32)], data: 48 }), '');
});

test('a file that shrinks while it is read', async () => {
  const bytes = file({ infos: [info('a', [4])], data: 16 });
  await assert.rejects(read(bytes.subarray(0, 40), bytes.length), /ends at byte 40 while it is read/);
});

test('four thousand damaged files: a refusal or a header that is followed to its end, nothing else', async () => {
  const random = seededRandom(20_261_121);
  const sound = golden('small.gguf');
  const { dataStart } = await read(sound);
  let accepted = 0;
  for (let round = 0; round < 4000; round += 1) {
    const bytes = damaged(sound, dataStart, random);
    try {
      const header = await read(bytes);
      accepted += 1;
      assert.ok(header.dataStart >= 24 && header.tensors.length * 24 + header.metadata.length * 13 + 24 <= bytes.length);
      for (const { shape, offset, bytes: n, type } of header.tensors) {
        const known = [...ggmlTypes.values()].find(({ name }) => name === type);
        const count = shape.reduce((product, extent) => product * extent, 1);
        assert.equal(n, known === undefined ? null : (count / known.blockSize) * known.blockBytes);
        assert.ok(Number.isSafeInteger(offset));
      }
      const last = Math.max(header.dataStart, ...header.tensors.map(({ offset, bytes: n }) => offset + (n ?? 0)));
      // Whoever reads the weights by this header must be able to trust that they are there.
      if (last > bytes.length && header.tensors.length > 0) assert.ok(header.problems.length > 0);
    } catch (error) {
      if (error instanceof HeaderError) continue;
      throw new Error(`round ${round}, ${Buffer.from(bytes.subarray(0, dataStart)).toString('hex')}: ${String(error)}`, { cause: error });
    }
  }
  // Some damage (a letter of a token) leaves a sound header: were there none, the test would only see refusals.
  assert.ok(accepted > 100 && accepted < 3500, `${accepted} of 4000 were accepted`);
});
