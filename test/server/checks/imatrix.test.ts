// Recipes with an importance matrix: what a file must be, whose it must be, what it leaves out, and what stands in its way.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { ggufImatrix, legacyImatrix, type ImatrixSums } from '../../support/imatrix-files.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';
import { sentencePieceTokenizer } from '../../support/small-tokenizer.js';

type Entries = Record<string, ImatrixSums>;

const sums = (columns: number, count = 3): ImatrixSums => ({ sums: Array.from({ length: columns }, (_, i) => i), count });
const parts = ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'];
const blocks: Entries = Object.fromEntries(
  [0, 1].flatMap((block) => parts.map((part) => [`blk.${block}.${part}.weight`, sums(part === 'ffn_down' ? 512 : 256)])),
);
const whole: Entries = { ...blocks, 'output.weight': sums(256) };

interface Wish {
  entries?: Entries;
  bytes?: Buffer;
  fields?: string;
  blocks?: number;
  before?: string;
  head?: string;
  changes?: Parameters<typeof checkIn>[2];
}

const checked = ({
  entries = whole,
  bytes,
  fields = 'imatrix: sub/imatrix.gguf',
  blocks: n_blocks = 2,
  before = '',
  head = '',
  changes,
}: Wish): Promise<CheckedRecipe> =>
  inFolder({ model: tinyLlama({ blocks: n_blocks, hidden: 256, intermediate: 512, keyValues: 128, vocabulary: 265 }) }, (dir) => {
    writeFileSync(path.join(dir, 'model/tokenizer.json'), JSON.stringify(sentencePieceTokenizer()));
    mkdirSync(path.join(dir, 'sub'));
    writeFileSync(path.join(dir, 'sub/imatrix.gguf'), bytes ?? ggufImatrix(entries));
    const text = `model: ${path.join(dir, 'model')}\noutput: {dir: ${path.join(dir, 'out')}}\n${head}q_stage:\n  q_modifiers:\n${before}    GGUFModifier: {${fields.includes('type') ? '' : 'type: Q4_K_M, '}${fields}}\n`;
    return checkIn(dir, text, changes);
  });

const told = ({ problems }: CheckedRecipe): string[] => problems.map(({ code, severity, message }) => `${severity} ${code}: ${message}`);

for (const [form, write] of [
  ['gguf', ggufImatrix],
  ['legacy', legacyImatrix],
] as const)
  test(`${form}: no problem, no calibration, and in the plan where the sums of each layer lie`, async () => {
    const { plan, ...rest } = await checked({ bytes: write(whole) });
    assert.deepEqual(told({ plan, ...rest }), []);
    assert.ok(plan);
    assert.equal(plan.calibration, null);
    for (const { name, kind, columns, quantizer } of plan.layers) {
      assert.ok(quantizer?.name === 'gguf' && !quantizer.importance && quantizer.imatrix?.file.endsWith(path.join('sub', 'imatrix.gguf')));
      const entry = quantizer.imatrix?.entry;
      // An embedding has no inputs.
      if (kind === 'Embedding') assert.equal(entry, null);
      else assert.deepEqual([entry?.count, entry?.sum], [3, (columns * (columns - 1)) / 2], name);
    }
    const offsets = plan.layers.flatMap(({ quantizer }) => (quantizer?.name === 'gguf' ? (quantizer.imatrix?.entry?.offset ?? []) : []));
    assert.equal(new Set(offsets).size, 15);
  });

for (const [what, wish, message] of [
  [
    'no file',
    { fields: 'imatrix: imatrix.gguf' },
    /^There is no file .*imatrix\.gguf\. Paths are relative to the recipe\. Make one with llama-imatrix, or/,
  ],
  ['a folder', { fields: 'imatrix: sub' }, /sub is a folder, and an importance matrix is one file/],
  ['a dataset', { fields: 'imatrix: rows.jsonl' }, /neither a GGUF file nor an importance matrix of the legacy form/],
  [
    'weights',
    { bytes: Buffer.from(ggufImatrix(whole).toString('latin1').replaceAll('.in_sum2', '.weights'), 'latin1') },
    /whose 30 tensors have no NAME\.in_sum2/,
  ],
  ['a file that is cut', { bytes: ggufImatrix(whole).subarray(0, -100) }, /it is truncated/],
  [
    'a NaN',
    { entries: { ...whole, 'blk.1.attn_q.weight': { sums: [...Array<number>(255).fill(1), NaN], count: 1 } } },
    /column 255 of blk\.1\.attn_q\.weight has NaN/,
  ],
] as const)
  test(`imatrix-unreadable: ${what}`, async () => {
    const answer = await checked(wish);
    assert.deepEqual(
      answer.problems.map(({ code, severity, path: at }) => [code, severity, at.at(-1)]),
      [['imatrix-unreadable', 'error', 'imatrix']],
      told(answer).join('\n'),
    );
    assert.match(answer.problems[0]?.message ?? '', message);
    assert.equal(answer.plan, null);
  });

for (const [what, entries, message] of [
  [
    'none of its names',
    { 'blk.7.attn_q.weight': sums(256) },
    /its 1 tensors, such as blk\.7\.attn_q\.weight, have none of the names of the 16 layers here, such as blk\.0\./,
  ],
  [
    'other columns',
    { ...whole, 'blk.1.ffn_up.weight': sums(128) },
    /1 of its tensors have other columns than here, such as blk\.1\.ffn_up\.weight with 128 where model\.layers\.1\.mlp\.up_proj has 256/,
  ],
] as const)
  test(`imatrix-of-another-model: ${what}`, async () => {
    const answer = await checked({ entries });
    assert.deepEqual(
      answer.problems.map(({ code, severity, path: at }) => [code, severity, at.at(-1)]),
      [['imatrix-of-another-model', 'error', 'imatrix']],
      told(answer).join('\n'),
    );
    assert.match(answer.problems[0]?.message ?? '', message);
    assert.equal(answer.plan, null);
  });

test('what is said of the embedding may have any width, as with llama-quantize', async () => {
  assert.deepEqual(told(await checked({ entries: { ...whole, 'token_embd.weight': sums(265) } })), []);
});

test('the mix is that of llama-quantize with a matrix: Q4_1 for the first down projections of Q4_0', async () => {
  const types = async (fields: string): Promise<(string | undefined)[]> =>
    ((await checked({ fields, blocks: 8 })).plan?.layers ?? [])
      .filter(({ role }) => role === 'down_proj')
      .map(({ scheme }) => scheme?.weights?.gguf_type);
  const rest = Array<string>(7).fill('Q4_0');
  assert.deepEqual(await types('type: Q4_0'), ['Q4_0', ...rest]);
  assert.deepEqual(await types('type: Q4_0, imatrix: sub/imatrix.gguf'), ['Q4_1', ...rest]);
});

const { 'blk.0.ffn_up.weight': _up, ...withoutUp } = whole;

for (const [what, entries, severity, message] of [
  [
    'the head, which llama-imatrix leaves out by itself',
    blocks,
    'information',
    /has nothing for lm_head, whose columns weigh alike, as with llama-quantize\. llama-imatrix leaves the head out unless it is told --process-output; nothing is wrong\./,
  ],
  [
    'a layer of a block',
    withoutUp,
    'warning',
    /nothing for model\.layers\.0\.mlp\.up_proj, .* It leaves out model\.layers\.0\.mlp\.up_proj: make it again from this model/,
  ],
  [
    'a layer that no row reached',
    { ...whole, 'blk.0.ffn_up.weight': sums(256, 0) },
    'warning',
    /No row reached model\.layers\.0\.mlp\.up_proj when it was made \(count 0\)/,
  ],
] as const)
  test(`imatrix-without-importance: ${what}`, async () => {
    const answer = await checked({ entries });
    assert.deepEqual(
      answer.problems.map(({ code, severity }) => [code, severity]),
      [['imatrix-without-importance', severity]],
      told(answer).join('\n'),
    );
    assert.match(answer.problems[0]?.message ?? '', message);
    assert.ok(answer.plan);
  });

test('layers that the modifier does not quantize need no importance', async () => {
  const fields = "imatrix: sub/imatrix.gguf, ignore: [lm_head, 're:.*[.]0[.]mlp.*']";
  assert.deepEqual(told(await checked({ fields, entries: blocks })), []);
});

const calibration = 'calibration: {dataset: rows.jsonl, num_calibration_samples: 8}\n';

test('imatrix-before-transform: inputs that a transform changes, with a way out', async () => {
  const before = '    HadamardModifier: {rotations: [R1]}\n';
  const answer = await checked({ before, head: calibration });
  const found = answer.problems.filter(({ code }) => code === 'imatrix-before-transform');
  assert.equal(found.length, 1, told(answer).join('\n'));
  assert.match(found[0]?.message ?? '', /HadamardModifier changes what enters its layers/);
  const instead = await checked({ before, head: calibration, fields: 'importance: true' });
  assert.deepEqual(
    instead.problems.filter(({ code }) => code.startsWith('imatrix')),
    [],
  );
});

test('field-without-effect: importance beside imatrix, which needs no texts', async () => {
  const answer = await checked({ fields: 'imatrix: sub/imatrix.gguf, importance: true' });
  assert.deepEqual(
    answer.problems.map(({ code, path: at }) => [code, at.at(-1)]),
    [['field-without-effect', 'importance']],
    told(answer).join('\n'),
  );
});

test('field-without-effect: importance of columns for a type that does not weigh them', async () => {
  for (const [fields, expected] of [
    ['type: Q8_0, imatrix: sub/imatrix.gguf', ['imatrix']],
    ['type: Q8_0, importance: true', ['importance']],
    ['type: Q4_0, importance: true', []],
  ] as const) {
    const answer = await checked({ fields, head: fields.includes('imatrix') ? '' : calibration });
    const idle = answer.problems.filter(({ code }) => code === 'field-without-effect');
    assert.deepEqual(
      idle.map(({ path: at }) => at.at(-1)),
      expected,
      told(answer).join('\n'),
    );
    for (const { message } of idle) assert.match(message, /^\w+ does nothing: all \d+ layers get Q8_0, which llama\.cpp rounds alike/);
  }
});

test('calibration-without-effect: rows beside a file', async () => {
  assert.deepEqual(
    (await checked({ head: calibration })).problems.map(({ code }) => code),
    ['calibration-without-effect'],
  );
});

test('a recipe that is not saved: a relative path is not looked up, and there is no plan', async () => {
  const answer = await checked({ changes: { recipePath: null, baseDir: null } });
  assert.deepEqual(
    answer.problems.filter(({ severity }) => severity === 'error'),
    [],
    told(answer).join('\n'),
  );
  assert.equal(answer.plan, null);
});
