// Importance matrices in the real llama.cpp: its loader reads from our tests' files what our reader does, and its search, given the same importance, leaves no smaller weighted error.
// Needs BITWRIGHT_LLAMA, BITWRIGHT_PYTHON and BITWRIGHT_PYTHONPATH as gguf-parity.test.ts; numpy is not needed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readImatrix } from '../../schemas/src/model/imatrix.js';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { writeImatrix } from '../../worker/src/checkpoint/imatrix-file.js';
import { ggufDecode, ggufEncode, type GgufType } from '../../worker/src/tensor/operations/formats.js';
import { ggufImatrix, legacyImatrix } from '../support/imatrix-files.js';
import { withDevice } from '../support/native-device.js';
import { seededRandom } from '../support/random.js';
import { repositoryRoot } from '../support/shared.js';
import { inTemporaryFolder } from '../support/worker-run.js';

const script = path.join(repositoryRoot, 'test', 'parity', 'imatrix-parity.py');
const llama = process.env['BITWRIGHT_LLAMA'] ?? '';
const skip = existsSync(llama) ? false : 'no libllama: BITWRIGHT_LLAMA names no folder';

interface Answer {
  files: ({ n: number; entries: { name: string; sums: number[]; counts: number[] }[] } | null)[];
  blocks: Record<string, string>;
}

function ask(dir: string, weights: object, files: readonly string[]): Answer {
  const given = path.join(dir, 'weights.json');
  writeFileSync(given, JSON.stringify(weights));
  const python = process.env['BITWRIGHT_PYTHON'] ?? 'python3';
  const { status, stdout, stderr } = spawnSync(python, [script, llama, given, ...files], { encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Answer;
}

const noWeights = { weights: '', importance: '', rows: 0, columns: 0, types: [] };

test('the loader of llama-quantize reads what our reader reads, in both forms, and refuses what is cut', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const random = seededRandom(8);
    const entries = Object.fromEntries(
      Array.from({ length: 9 }, (_, i) => {
        const sums = Float32Array.from({ length: 32 * (i + 1) }, () => random.below(1_000_000) / 1024);
        return [`blk.${i}.attn_q.weight`, { sums, count: 1 + random.below(5000) }];
      }),
    );
    const rows = Object.entries(entries).map(([name, { sums, count }]) => ({ name, sums, rows: 1, tokens: count }));
    await writeImatrix(path.join(dir, 'own.gguf'), 'rows.txt', rows);
    const written = {
      'imatrix.gguf': ggufImatrix(entries),
      'imatrix.dat': legacyImatrix(entries),
      'own.gguf': readFileSync(path.join(dir, 'own.gguf')),
    };
    const cut = { 'cut.gguf': written['imatrix.gguf'].subarray(0, -200), 'cut.dat': written['imatrix.dat'].subarray(0, -60) };
    const files = Object.entries({ ...written, ...cut }).map(([name, bytes]) => {
      writeFileSync(path.join(dir, name), bytes);
      return path.join(dir, name);
    });
    const answer = ask(dir, noWeights, files);
    for (const [i, file] of files.slice(0, 3).entries()) {
      const ours = await readImatrix(nodeFiles, file, file);
      assert.equal(answer.files[i]?.n, ours.size);
      for (const { name, sums, counts } of answer.files[i].entries) {
        const { columns, count, sum } = ours.get(name)!;
        assert.deepEqual([sums.length, counts], [columns, [count]]);
        assert.equal(
          sums.reduce((all, value) => all + value, 0),
          sum,
        );
        assert.deepEqual(sums, [...entries[name]!.sums]);
      }
    }
    assert.deepEqual(answer.files.slice(3), [null, null]);
    for (const file of files.slice(3)) await assert.rejects(readImatrix(nodeFiles, file, file));
  }),
);

const types: readonly (readonly [GgufType, number])[] = [
  ['Q4_0', 2],
  ['Q4_1', 3],
  ['Q5_0', 6],
  ['Q5_1', 7],
  ['Q8_0', 8],
  ['Q2_K', 10],
  ['Q3_K', 11],
  ['Q4_K', 12],
  ['Q5_K', 13],
  ['Q6_K', 14],
];

test("with the same importance our search leaves no larger weighted error than llama.cpp's", { skip }, (t) =>
  inTemporaryFolder(async (dir) => {
    const [rows, columns] = [48, 512];
    const random = seededRandom(4);
    const normal = (): number => Array.from({ length: 6 }, () => random.below(2001) / 1000 - 1).reduce((sum, value) => sum + value, 0) / 20;
    const weights = Float32Array.from({ length: rows * columns }, normal);
    // As inputs are: most columns alike, a few larger by orders.
    const importance = Float32Array.from({ length: columns }, () => (0.1 + random.below(1000) / 1000) * (random.below(20) === 0 ? 200 : 1));
    const hex = (values: Float32Array): string => Buffer.from(values.buffer).toString('hex');
    const { blocks } = ask(
      dir,
      { weights: hex(weights), importance: hex(importance), rows, columns, types: types.map(([, id]) => id) },
      [],
    );
    await withDevice(async (device) => {
      using W = device.fromFloats([rows, columns], weights);
      using w = device.fromFloats([columns], importance);
      const errorOf = (values: Float32Array): number =>
        values.reduce((sum, value, i) => sum + (importance[i % columns] ?? 0) * (value - (weights[i] ?? 0)) ** 2, 0);
      for (const [type, id] of types) {
        const theirs = Buffer.from(blocks[id] ?? '', 'hex');
        using ours = ggufEncode(W, w, type);
        using read = ggufDecode(ours, type);
        using given = device.fromBytes('U8', ours.shape, theirs);
        using readTheirs = ggufDecode(given, type);
        const [own, other] = [errorOf(await read.readFloats()), errorOf(await readTheirs.readFloats())];
        t.diagnostic(`${type}: ${(own / other).toFixed(4)} of llama.cpp's weighted error; same bytes: ${theirs.equals(await ours.read())}`);
        assert.ok(own <= other, `${type}: ${own} against ${other}`);
      }
    });
  }),
);
