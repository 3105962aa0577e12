// The reader of safetensors headers against every lie that a header can tell, and against thousands of damaged files.
// Where the verdict differs from the reference reader (safetensors 0.8.0), the comment says so: there ours is the stricter one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelFiles } from '../../schemas/src/model/model-files.js';
import { dtypeBytes, HeaderError, readSafetensorsHeader, type SafetensorsHeader } from '../../schemas/src/model/safetensors-header.js';
import { damaged } from '../support/damage.js';
import { refusalOf } from '../support/header-refusal.js';
import { inMemory } from '../support/memory-files.js';
import { seededRandom, type Random } from '../support/random.js';

const withPrefix = (header: Uint8Array | string, data = 0, claimed?: bigint): Uint8Array => {
  const text = typeof header === 'string' ? Buffer.from(header) : header;
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(claimed ?? BigInt(text.length));
  return Buffer.concat([prefix, text, Buffer.alloc(data)]);
};

const tensor = (shape: string, offsets: string, dtype = 'F32', more = ''): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}${more}}`;

const read = (bytes: Uint8Array): Promise<SafetensorsHeader> => readSafetensorsHeader(inMemory(bytes), 'x', 'x.safetensors');

const refusal = (bytes: Uint8Array): Promise<string> => refusalOf(read(bytes));

test('sound headers', async () => {
  const a = tensor('[4]', '[0,16]');
  for (const [header, data, expected] of [
    [`{"a":${a}}`, 16, ['a F32 [4] 16']],
    [`{"b":${tensor('[2]', '[8,16]')},"a":${tensor('[2]', '[0,8]')}}`, 16, ['b F32 [2] 8', 'a F32 [2] 8']],
    [`{"a":${tensor('[]', '[0,4]')}}`, 4, ['a F32 [] 4']],
    [`{"a":${tensor('[0]', '[0,0]')},"b":${a},"c":${tensor('[0,3]', '[16,16]')}}`, 16, ['a F32 [0] 0', 'b F32 [4] 16', 'c F32 [0,3] 0']],
    [`{"__metadata__":{"format":"pt"},"a":${a}}   `, 16, ['a F32 [4] 16']],
    [`{"__metadata__":null,"a":${a}}`, 16, ['a F32 [4] 16']],
    [`{"__metadata__":{"k":"1","k":"2"},"a":${a}}`, 16, ['a F32 [4] 16']],
    [`{"a":${tensor('[4]', '[0,16]', 'F32', ',"x":1.5,"y":{"z":-1}')}}`, 16, ['a F32 [4] 16']],
    [`{"":${a}}`, 16, [' F32 [4] 16']],
    [`{"__proto__":${a}}`, 16, ['__proto__ F32 [4] 16']],
    [`{"\\u0061\\":{\\"":${a}}`, 16, ['a":{" F32 [4] 16']],
    ['{}', 0, []],
  ] as const) {
    const bytes = withPrefix(header, data);
    const { tensors, dataStart } = await read(bytes);
    assert.deepEqual(
      tensors.map(({ name, dtype, shape, bytes: n }) => `${name} ${dtype} [${shape.join(',')}] ${n}`),
      expected,
      header,
    );
    assert.equal(dataStart, 8 + Buffer.byteLength(header));
  }
  const { metadata } = await read(withPrefix(`{"__metadata__":{"format":"pt"}}`));
  assert.deepEqual(metadata, { format: 'pt' });
});

test('every dtype has the width of its name', async () => {
  for (const [dtype, width] of Object.entries(dtypeBytes)) {
    assert.equal((await read(withPrefix(`{"a":${tensor('[3]', `[0,${3 * width}]`, dtype)}}`, 3 * width))).tensors[0]?.dtype, dtype);
    assert.match(await refusal(withPrefix(`{"a":${tensor('[3]', `[0,${3 * width + 1}]`, dtype)}}`, 3 * width + 1)), /span/);
  }
});

const a4 = tensor('[4]', '[0,16]');

/** What is refused, with the part of the sentence that names the reason. */
const lies: readonly [what: string, bytes: Uint8Array, reason: RegExp][] = [
  ['an empty file', new Uint8Array(0), /0 bytes, too few/],
  ['seven bytes', new Uint8Array(7), /7 bytes, too few/],
  ['a header of length zero', withPrefix(''), /not JSON/],
  ['a length beyond the file', withPrefix('{}', 0, 100n), /claims 100 bytes, the file has only 10: it is truncated/],
  ['a length beyond the file by one', withPrefix('{}', 0, 3n), /truncated/],
  ['a length above 100 MB', withPrefix('{}', 0, 100_000_001n), /more than the 100000000/],
  ['a length above 2^63', withPrefix('{}', 0, 2n ** 63n + 1n), /more than the 100000000/],
  ['a length of 2^64 - 1', withPrefix('{}', 0, 2n ** 64n - 1n), /more than the 100000000/],
  ['a pointer of Git LFS', Buffer.from('version of the format of pointers\noid sha256:4d7a\nsize 9\n'), /pointer of Git LFS; git lfs pull/],
  ['no JSON', withPrefix('hello'), /not JSON/],
  ['JSON that is cut', withPrefix(`{"a":${a4}`, 16), /not JSON/],
  ['something behind the JSON', withPrefix(`{"a":${a4}}x`, 16), /not JSON/],
  ['zero bytes behind the JSON', withPrefix(`{"a":${a4}}\0\0`, 16), /not JSON/],
  ['a byte order mark', withPrefix(`\uFEFF{"a":${a4}}`, 16), /not JSON/],
  ['no UTF-8', withPrefix(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])), /not UTF-8/],
  ['a lone surrogate as a name', withPrefix(`{"\\ud800":${a4}}`, 16), /not valid Unicode/],
  ['a list', withPrefix('[]'), /not a JSON object/],
  ['null', withPrefix('null'), /not a JSON object/],
  ['a number', withPrefix('1'), /not a JSON object/],
  ['a tensor that is null', withPrefix('{"a":null}'), /a has the dtype nothing/],
  ['a tensor that is a text', withPrefix('{"a":"b"}'), /a has the dtype nothing/],
  // The reference reads a tensor from a list of three; nobody writes one.
  ['a tensor that is a list', withPrefix('{"a":["F32",[4],[0,16]]}', 16), /a has the dtype nothing/],
  ['a dtype in lower case', withPrefix(`{"a":${tensor('[4]', '[0,16]', 'f32')}}`, 16), /a has the dtype "f32", which is none of F64/],
  ['a dtype with the name of a method', withPrefix(`{"a":${tensor('[4]', '[0,16]', 'toString')}}`, 16), /a has the dtype "toString"/],
  // Dtypes that no quantizer reads: the reference knows them.
  ['a complex dtype', withPrefix(`{"a":${tensor('[2]', '[0,16]', 'C64')}}`, 16), /a has the dtype "C64"/],
  ['a dtype that is a number', withPrefix('{"a":{"dtype":1,"shape":[4],"data_offsets":[0,16]}}', 16), /a has the dtype 1/],
  ['no shape', withPrefix('{"a":{"dtype":"F32","data_offsets":[0,16]}}', 16), /a has the shape nothing/],
  ['a shape that is a number', withPrefix(`{"a":${tensor('4', '[0,16]')}}`, 16), /a has the shape 4/],
  ['a negative size', withPrefix(`{"a":${tensor('[-4]', '[0,16]')}}`, 16), /a has -4 in its shape/],
  ['two negative sizes', withPrefix(`{"a":${tensor('[-2,-2]', '[0,16]')}}`, 16), /a has -2 in its shape/],
  ['a fractional size', withPrefix(`{"a":${tensor('[4.5]', '[0,18]')}}`, 18), /a has 4.5 in its shape/],
  ['a size written as a float', withPrefix(`{"a":${tensor('[4.0]', '[0,16]')}}`, 16), /a has 4.0 in its shape/],
  ['a size with an exponent', withPrefix(`{"a":${tensor('[4e0]', '[0,16]')}}`, 16), /a has 4e0 in its shape/],
  ['a size that is a text', withPrefix(`{"a":${tensor('["4"]', '[0,16]')}}`, 16), /a has the shape \["4"\]/],
  ['a size above 2^53', withPrefix(`{"a":${tensor('[18446744073709551615,2]', '[0,16]')}}`, 16), /not a list of sizes/],
  ['sizes whose product overflows', withPrefix(`{"a":${tensor('[4294967296,4294967296,4294967296]', '[0,0]')}}`), /larger than any file/],
  ['an overflow behind a zero', withPrefix(`{"a":${tensor('[9007199254740991,4,0]', '[0,0]')}}`), /larger than any file/],
  ['no offsets', withPrefix('{"a":{"dtype":"F32","shape":[4]}}', 16), /a has the data_offsets nothing/],
  ['three offsets', withPrefix(`{"a":${tensor('[4]', '[0,16,20]')}}`, 16), /not two byte positions/],
  ['offsets that are floats', withPrefix(`{"a":${tensor('[4]', '[0.0,16]')}}`, 16), /a has 0.0 in its data_offsets/],
  ['negative offsets', withPrefix(`{"a":${tensor('[4]', '[-16,0]')}}`, 16), /a has -16 in its data_offsets/],
  ['offsets in the wrong order', withPrefix(`{"a":${tensor('[0]', '[4,0]')}}`, 4), /span -4/],
  [
    'too few bytes for the shape',
    withPrefix(`{"a":${tensor('[5]', '[0,16]')}}`, 16),
    /a is F32 \[5\], 20 bytes, but its data_offsets 0 to 16 span 16/,
  ],
  ['too many bytes for the shape', withPrefix(`{"a":${tensor('[3]', '[0,16]')}}`, 16), /12 bytes, but/],
  ['a hole', withPrefix(`{"a":${tensor('[1]', '[0,4]')},"b":${tensor('[1]', '[8,12]')}}`, 12), /before b belong to no tensor/],
  ['a hole at the start', withPrefix(`{"a":${tensor('[2]', '[8,16]')}}`, 16), /before a belong to no tensor/],
  [
    'an overlap',
    withPrefix(`{"a":${tensor('[2]', '[0,8]')},"b":${tensor('[2]', '[4,12]')}}`, 12),
    /b begins at byte \d+, inside the tensor before it/,
  ],
  ['the same bytes twice', withPrefix(`{"a":${a4},"b":${a4}}`, 16), /begins at byte \d+, inside/],
  ['data that is cut', withPrefix(`{"a":${a4}}`, 15), /the file has only \d+: it is truncated/],
  ['data behind the last tensor', withPrefix(`{"a":${a4}}`, 17), /1 bytes behind the last tensor/],
  ['data and no tensor', withPrefix('{}', 3), /3 bytes behind the last tensor/],
  // The format forbids it; the reference keeps the last without a word.
  ['a tensor twice', withPrefix(`{"a":${a4},"a":${a4}}`, 16), /the tensor a stands in the header twice/],
  [
    'a tensor twice with other bytes',
    withPrefix(`{"a":${tensor('[2]', '[0,8]')},"a":${tensor('[2]', '[8,16]')}}`, 16),
    /the tensor a stands in the header twice/,
  ],
  ['a tensor twice, once escaped', withPrefix(`{"a":${a4},"\\u0061":${a4}}`, 16), /the tensor a stands in the header twice/],
  ['a field twice', withPrefix('{"a":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}}', 16), /a has the field dtype twice/],
  ['__metadata__ twice', withPrefix(`{"__metadata__":{},"__metadata__":{},"a":${a4}}`, 16), /__metadata__ stands in the header twice/],
  ['__metadata__ with a number', withPrefix(`{"__metadata__":{"k":1},"a":${a4}}`, 16), /k in __metadata__ is 1, which is not a text/],
  ['__metadata__ that is a list', withPrefix(`{"__metadata__":[],"a":${a4}}`, 16), /__metadata__ is not an object of texts/],
  ['__metadata__ that is a text', withPrefix(`{"__metadata__":"k","a":${a4}}`, 16), /__metadata__ is not an object of texts/],
];

for (const [what, bytes, reason] of lies)
  test(`refused: ${what}`, async () => {
    assert.match(await refusal(bytes), reason);
  });

test('refused: no file, and a file that shrinks while it is read', async () => {
  const missing: ModelFiles = { ...inMemory(new Uint8Array(0)), size: () => Promise.resolve(null) };
  await assert.rejects(readSafetensorsHeader(missing, 'x', 'x.safetensors'), /does not exist/);
  await assert.rejects(readSafetensorsHeader(inMemory(new Uint8Array(3), 100), 'x', 'x.safetensors'), /only 3 of the first 8 bytes/);
  const short = withPrefix('{}', 0, 90n);
  await assert.rejects(readSafetensorsHeader(inMemory(short, 100), 'x', 'x.safetensors'), /ends after 10 of 98 bytes/);
});

test('a name of a million characters and brackets inside of names', async () => {
  const name = 'x'.repeat(1_000_000);
  assert.equal((await read(withPrefix(`{"${name}":${a4}}`, 16))).tensors[0]?.name.length, 1_000_000);
  assert.match(await refusal(withPrefix(`{"}{":${a4},"}{":${a4}}`, 16)), /the tensor }{ stands in the header twice/);
});

/** A file with tensors of several dtypes, names with escapes, and metadata. */
function soundFile(random: Random): Uint8Array {
  let end = 0;
  const entries = Array.from({ length: 1 + random.below(6) }, (_, index) => {
    const dtype = random.of(Object.entries(dtypeBytes));
    const shape = Array.from({ length: random.below(4) }, () => random.below(5));
    const begin = end;
    end += shape.reduce((product, extent) => product * extent, dtype[1]);
    return `${JSON.stringify(random.of(['w', 'model.layers.0.q_proj.weight', 'ü"\\', '__proto__']) + index)}:${tensor(`[${shape.join(',')}]`, `[${begin},${end}]`, dtype[0])}`;
  });
  if (random.next() < 0.5) entries.unshift('"__metadata__":{"format":"pt"}');
  return withPrefix(`{${entries.join(',')}}${' '.repeat(random.below(8))}`, end);
}

const splices = [
  '"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '0',
  '-',
  '.',
  'e',
  '\\',
  '9'.repeat(20),
  '"dtype"',
  '"F32"',
  '\0',
  '\u{1F600}',
  'null',
];

/** What every accepted file has: tensors that fill the data exactly, each as large as its shape and dtype say. */
function checkTruth(bytes: Uint8Array, { tensors, dataStart }: SafetensorsHeader): void {
  const names = new Set(tensors.map(({ name }) => name));
  assert.equal(names.size, tensors.length);
  let end = dataStart;
  for (const { shape, dtype, offset, bytes: n } of [...tensors].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    assert.equal(offset, end);
    assert.equal(
      n,
      shape.reduce((product, extent) => product * extent, dtypeBytes[dtype]),
    );
    end += n;
  }
  assert.equal(end, bytes.length);
}

test('four thousand damaged files: a refusal or the truth, nothing else', async () => {
  const random = seededRandom(20_260_822);
  let accepted = 0;
  for (let round = 0; round < 4000; round += 1) {
    const sound = soundFile(random);
    checkTruth(sound, await read(sound));
    const headerEnd = 8 + Number(Buffer.from(sound).readBigUInt64LE());
    const bytes = damaged(sound, headerEnd, random, splices);
    try {
      checkTruth(bytes, await read(bytes));
      accepted += 1;
    } catch (error) {
      if (error instanceof HeaderError) continue;
      throw new Error(`round ${round}, ${Buffer.from(bytes).toString('hex')}: ${String(error)}`, { cause: error });
    }
  }
  // Some damage (a space, a letter of a name) leaves a sound file: were there none, the test would only see refusals.
  assert.ok(accepted > 100 && accepted < 3000, `${accepted} of 4000 were accepted`);
});
