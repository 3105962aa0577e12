// The importance matrix that we write is, byte for byte, the file of the tests' own writer, which the loader of llama-quantize reads (test/parity/imatrix-parity.test.ts).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { writeImatrix } from '../../../worker/src/checkpoint/imatrix-file.js';
import { ggufImatrix } from '../../support/imatrix-files.js';
import { seededRandom } from '../../support/random.js';
import { inTemporaryFolder } from '../../support/worker-run.js';

test('names in order, sums beside counts, the keys of llama-imatrix', () =>
  inTemporaryFolder(async (dir) => {
    const random = seededRandom(5);
    const all = ['blk.2.ffn_down.weight', 'blk.10.attn_q.weight', 'output.weight', 'blk.2.attn_q.weight'].map((name, i) => ({
      name,
      sums: Float32Array.from({ length: 33 * (i + 1) }, () => random.below(1_000_000) / 1024),
      rows: 3,
      tokens: 3 * 512,
    }));
    const file = path.join(dir, 'imatrix.gguf');
    await writeImatrix(file, path.join(dir, 'rows.txt'), all);
    const expected = ggufImatrix(Object.fromEntries(all.map(({ name, sums, tokens }) => [name, { sums, count: tokens }])));
    assert.ok(readFileSync(file).equals(expected));
  }));
