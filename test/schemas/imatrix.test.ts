// The reader of importance matrices: both forms of llama-imatrix, every lie that such a file can tell, and thousands of damaged files.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { floatsOf, readImatrix, sumOfValues, type Imatrix } from '../../schemas/src/model/imatrix.js';
import { HeaderError } from '../../schemas/src/model/safetensors-header.js';
import { damaged } from '../support/damage.js';
import { ggufImatrix, legacyImatrix } from '../support/imatrix-files.js';
import { inMemory } from '../support/memory-files.js';
import { seededRandom } from '../support/random.js';

const read = (bytes: Uint8Array, size?: number): Promise<Imatrix> => readImatrix(inMemory(bytes, size), 'x', 'x');

async function refusal(bytes: Uint8Array): Promise<string> {
  try {
    return `accepted with ${(await read(bytes)).size} entries`;
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error;
    return error.detail;
  }
}

const entries = {
  'blk.0.attn_q.weight': { sums: [0.5, 2, 0, 8], count: 4 },
  'blk.0.ffn_down.weight': { sums: Array.from({ length: 96 }, (_, i) => i / 7), count: 1536 },
};
const forms = { gguf: ggufImatrix, legacy: legacyImatrix } as const;

for (const [form, write] of Object.entries(forms)) {
  test(`${form}: sums lie where the reader says, with what divides them`, async () => {
    const bytes = write(entries);
    const found = await read(bytes);
    assert.deepEqual([...found.keys()].sort(), Object.keys(entries));
    for (const [name, { sums, count }] of Object.entries(entries)) {
      const { offset, columns, ...entry } = found.get(name)!;
      const values = floatsOf(bytes.subarray(offset, offset + 4 * columns));
      assert.deepEqual([...values], [...Float32Array.from(sums)]);
      assert.deepEqual(entry, { count, sum: sumOfValues(Float32Array.from(sums)) });
    }
  });

  test(`${form}: values that are no sums of squares`, async () => {
    for (const wrong of [NaN, -1, Infinity]) {
      const bytes = write({ ...entries, a: { sums: [1, wrong, 1, 1], count: 1 } });
      assert.equal(await refusal(bytes), `column 1 of a has ${wrong}, which is no sum of squares`);
    }
  });

  test(`${form}: four thousand damaged files: a refusal, or numbers that can be taken`, async () => {
    const random = seededRandom(form === 'gguf' ? 5 : 7);
    const sound = write(entries);
    let accepted = 0;
    for (let round = 0; round < 4000; round += 1) {
      const bytes = damaged(sound, sound.length, random);
      try {
        const found = await read(bytes);
        accepted += 1;
        for (const { offset, columns, count, sum } of found.values()) {
          const values = floatsOf(bytes.subarray(offset, offset + 4 * columns));
          assert.equal(values.length, columns);
          assert.ok(values.every((value) => value >= 0 && Number.isFinite(value)) && sumOfValues(values) === sum);
          assert.ok(Number.isInteger(count) && count >= 0);
        }
      } catch (error) {
        if (!(error instanceof HeaderError)) throw new Error(`round ${round}: ${Buffer.from(bytes).toString('hex')}`, { cause: error });
      }
    }
    assert.ok(accepted > 100 && accepted < 3500, `${accepted} of 4000 were accepted`);
  });
}

test('counts: zero is kept as nothing known, what is no count is refused', async () => {
  const withCount = (count: number): Record<string, { sums: number[]; count: number }> => ({ a: { sums: [1, 2], count } });
  assert.equal((await read(ggufImatrix(withCount(0)))).get('a')?.count, 0);
  for (const count of [-1, NaN, Infinity]) assert.equal(await refusal(ggufImatrix(withCount(count))), `the count of a is ${count}`);
  // Without calls llama-quantize takes the values as they stand.
  assert.equal((await read(legacyImatrix(withCount(0)))).get('a')?.count, 1);
});

test('files that are something else', async () => {
  assert.match(await refusal(Buffer.alloc(0)), /ends at byte 0, before the number of entries/);
  assert.match(
    await refusal(Buffer.from('{"text": "a row of a dataset, and not the first"}')),
    /the number of entries at byte 0 is 1702109819/,
  );
  assert.match(await refusal(Buffer.from('GGUF')), /the file has 4 bytes, too few/);
  const renamed = (from: string, to: string): Buffer => Buffer.from(ggufImatrix(entries).toString('latin1').replaceAll(from, to), 'latin1');
  assert.match(await refusal(renamed('.in_sum2', '.in_sum3')), /whose 4 tensors have no NAME\.in_sum2 among them/);
  assert.match(
    await refusal(renamed('.counts', '.countz')),
    /blk\.0\.attn_q\.weight\.in_sum2 stands without blk\.0\.attn_q\.weight\.counts/,
  );
  const whole = ggufImatrix(entries);
  assert.match(await refusal(whole.subarray(0, -64)), /^The tensors end at byte \d+, and the file has only \d+: it is truncated/);
  assert.match(
    await refusal(legacyImatrix(entries).subarray(0, 45)),
    /the values of blk\.0\.attn_q\.weight at byte 35 needs 16 bytes.*truncated or damaged/,
  );
  await assert.rejects(read(whole.subarray(0, -64), whole.length), /ends at byte \d+ while it is read/);
});

test('sums of experts, with a count each, are passed over', async () => {
  const counts = ggufImatrix({ ...entries, b: { sums: [1, 1], count: 1 } });
  // [1, 2] for the extents of b.counts, whose second count is the padding behind the first.
  const at = counts.indexOf(Buffer.from('b.counts')) + 'b.counts'.length + 4 + 8;
  counts.writeBigUInt64LE(2n, at);
  assert.deepEqual([...(await read(counts)).keys()].sort(), Object.keys(entries));
});
