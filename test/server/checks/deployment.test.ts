// Checks on what comes after the run begins: routers of experts, room on the disk, and what output.runtime may say.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { roomForRun } from '../../../schemas/src/room-for-run.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { doubled, withExperts } from '../../support/problem-page-folder.js';
import { checkIn, checkMarked, inFolder, marked } from '../../support/recipe-fixture.js';

const even = doubled(tinyLlama({ intermediate: 192 }));
const recipe = (ignore: string, output = 'dir: out'): string =>
  `model: model\noutput: {${output}}\nq_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head${ignore}]}}}\n`;

test('routers among the quantized layers, named as the families name them', async () => {
  for (const [router, entry] of [
    ['mlp.gate', 're:.*mlp.gate$'],
    ['mlp.shared_expert_gate', 're:.*mlp.shared_expert_gate$'],
    ['block_sparse_moe.gate', 're:.*block_sparse_moe.gate$'],
    ['feed_forward.router', 're:.*feed_forward.router$'],
    ['block_sparse_moe.router.layer', 're:.*block_sparse_moe.router.layer$'],
  ] as const) {
    const block = router.split('.')[0] ?? '';
    const tensors = {
      ...even.tensors,
      [`model.layers.0.${router}.weight`]: [4, 128],
      [`model.layers.1.${router}.weight`]: [4, 128],
      [`model.layers.0.${block}.experts.0.w1.weight`]: [128, 128],
      [`model.layers.1.${block}.experts.0.w1.weight`]: [128, 128],
    };
    await inFolder({ model: { ...even, tensors } }, async (dir) => {
      const { problems } = await checkIn(dir, recipe(''));
      const [found, ...rest] = problems.filter(({ code }) => code === 'moe-router-quantized');
      assert.equal(found?.severity, 'warning', router);
      assert.match(found.message, /^2 layers choose among experts .* \(4 × 128\) and others/);
      assert.deepEqual(found.fixes, [
        {
          title: `Ignore ${entry}`,
          preferred: true,
          edits: [{ kind: 'append-item', path: ['q_stage', 'q_modifiers', 'QuantizationModifier', 'ignore'], text: `'${entry}'` }],
        },
      ]);
      assert.deepEqual(rest, []);
      const mended = await checkIn(dir, recipe(`, '${entry}'`));
      assert.ok(!mended.problems.some(({ code }) => code === 'moe-router-quantized'));
    });
  }
});

test('gate_proj of a dense model and a gate without experts are no routers', async () => {
  const gated = { ...even, tensors: { ...even.tensors, 'model.layers.0.self_attn.gate.weight': [8, 128] } };
  for (const model of [even, gated])
    await inFolder({ model }, async (dir) => {
      const { problems } = await checkIn(dir, recipe(''));
      assert.ok(!problems.some(({ code }) => code === 'moe-router-quantized'));
    });
});

test('one router in two modifiers: the one that quantizes it is named', async () => {
  await inFolder({ model: withExperts(even) }, async (dir) => {
    const text = `model: model
output: {dir: out}
a_stage: {q_modifiers: {QuantizationModifier: {targets: ['re:.*experts.*'], scheme: W8A16}}}
b_stage: {q_modifiers: {QuantizationModifier: {targets: ['re:.*gate$'], scheme: W8A16}}}
`;
    const { problems } = await checkIn(dir, text);
    const found = problems.filter(({ code }) => code === 'moe-router-quantized');
    assert.deepEqual(
      found.map(({ path: at }) => at[0]),
      ['b_stage'],
    );
  });
});

const withFree = (bytes: number | null, text: string): Promise<CheckedRecipe> =>
  inFolder({ model: even }, (dir) => checkIn(dir, text, { freeBytes: () => Promise.resolve(bytes) }));

test('less free space than checkpoint and shards is an error with the numbers, and no plan', async () => {
  const { plan } = await withFree(null, recipe(''));
  const needed = plan?.estimate.disk_bytes ?? 0;
  assert.ok(needed > 1e5);
  assert.deepEqual((await withFree(needed, recipe(''))).problems, []);
  const short = await withFree(needed - 1e5, recipe(''));
  assert.equal(short.plan, null);
  const [found] = short.problems;
  assert.equal(`${found?.severity ?? ''} ${found?.code ?? ''}`, 'error not-enough-disk');
  assert.deepEqual(found?.path, ['output', 'dir']);
  assert.match(found.message, /needs about [\d.]+ MB of disk: [\d.]+ kB for the checkpoint .* [\d.]+ MB are free there\. Free 100\.0 kB/);
});

test('a folder that does not exist yet has the free space of the one above; none is asked without a model', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'bitwright-free-'));
  try {
    const [here, below] = await Promise.all([roomForRun(dir), roomForRun(path.join(dir, 'not', 'yet', 'there'))]);
    assert.ok(here !== null && here > 0 && below !== null);
    // Other programs write meanwhile.
    assert.ok(Math.abs(here - below) < here / 2);
  } finally {
    rmSync(dir, { recursive: true });
  }
  const { problems } = await withFree(0, recipe('').replace('model: model\n', ''));
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['model-not-resolved'],
  );
});

test('runtimes that do not exist, with the name that was meant and how a version is written', async () => {
  const { problems } = await checkMarked(
    `
    model: model
    output:
      dir: out
      runtime: vlm
    #          ^^^ error unknown-value: did you mean vllm? All are: vllm, llama.cpp, onnxruntime, transformers. A version stands behind the name, as in vllm==0.11.0.
      tensor_parallel_size: 0
    #                       ^ error value-too-small: it must be at least 1
    q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}}}
  `,
    { model: even },
  );
  assert.equal(problems.find(({ code }) => code === 'unknown-value')?.fixes?.[0]?.title, 'Change to vllm');
});

for (const runtime of ['vllm', 'vllm==0.11.0', 'vllm==0.11.1rc2', 'vllm==0.24.0.post1', 'transformers==4.57.1', 'transformers'])
  test(
    `output.runtime ${runtime} is taken`,
    marked(
      `
    model: model
    output: {dir: out, runtime: ${runtime}, tensor_parallel_size: 1}
    q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}}}
  `,
      { model: even },
    ),
  );

test(
  'a version in another spelling is refused',
  marked(
    `
    model: model
    output: {dir: out, runtime: vllm>=0.11}
    #                           ^^^^^^^^^^ error unknown-value: A version stands behind the name
    q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}}}
  `,
    { model: even },
  ),
);

const w8 =
  'q_stage: {q_modifiers: {QuantizationModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}}, ignore: [lm_head]}}}';

test('an output folder that is a file, or lies below one, is an error with the name of the file', async () => {
  for (const [dir, message] of [
    ['rows.jsonl', 'rows.jsonl is a file, and a checkpoint is a folder'],
    ['rows.jsonl/a/b', 'rows.jsonl/a/b cannot be made, as '],
    ['none/there', null],
  ] as const) {
    const text = `model: model\noutput: {dir: ${dir}}\n${w8}`;
    const { problems, plan } = await inFolder({}, (folder) => checkIn(folder, text));
    assert.deepEqual(
      problems.map(({ code, path: at }) => `${code} ${at.join('.')}`),
      message === null ? [] : ['output-not-a-folder output.dir'],
    );
    assert.ok(message === null || problems[0]?.message.includes(message), problems[0]?.message);
    assert.equal(plan === null, message !== null);
  }
});

test('an output folder with files of others is an error with their names; one of ours, an empty one and the model folder are not', () =>
  inFolder({}, async (dir) => {
    const text = `model: model\noutput: {dir: out}\n${w8}`;
    const out = path.join(dir, 'out');
    const said = async (recipe = text): Promise<string[]> =>
      (await checkIn(dir, recipe)).problems.map(({ code, path: at, message }) => `${code} ${at.join('.')}: ${message}`);
    mkdirSync(out);
    assert.deepEqual(await said(), []);
    for (const name of ['a.txt', 'b.txt', 'c.txt', 'd.txt']) writeFileSync(path.join(out, name), '');
    const [found = '', ...more] = await said();
    assert.match(
      found,
      /^output-not-ours output\.dir: .*out exists and was not written by Bitwright: it holds a\.txt, b\.txt, c\.txt and 1 more\./,
    );
    assert.deepEqual(more, []);
    writeFileSync(path.join(out, 'recipe.yaml'), 'model: model\n');
    assert.match((await said())[0] ?? '', /^output-not-ours .* and 2 more\./);
    writeFileSync(path.join(out, 'recipe.yaml'), '# Written by Bitwright 0.1.0\nmodel: model\n');
    assert.deepEqual(await said(), []);
    assert.deepEqual(
      (await said(text.replace('dir: out', 'dir: model'))).map((problem) => problem.split(' ')[0]),
      ['output-inside-model-folder'],
    );
  }));

test('more threads than the worker takes are an error that can be removed; the most are none', async () => {
  const { problems } = await checkMarked(`
    model: model
    output: {dir: out}
    threads: 513
    #        ^^^ error value-out-of-range: threads is 513; it must be at most 512. No machine has more cores
    q_stage: {q_modifiers: {QuantizationModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}}, ignore: [lm_head]}}}
  `);
  assert.deepEqual(problems[0]?.fixes?.[0]?.edits, [{ kind: 'remove', path: ['threads'] }]);
  await checkMarked(`
    model: model
    output: {dir: out}
    threads: 512
    q_stage: {q_modifiers: {QuantizationModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}}, ignore: [lm_head]}}}
  `);
});

test('a cap on memory that is no size is an error, and none without a word; sizes of every form are taken', async () => {
  await checkMarked(`
    model: model
    output: {dir: out}
    max_device_memory: much
    #                  ^^^^ error unknown-value: max_device_memory is "much", which is no size: write a number of bytes
    max_memory: 8 apples
    #           ^^^^^^^^ error unknown-value: max_memory is "8 apples", which is no size
    ${w8}
  `);
  for (const [size, bytes] of [
    ['20GB', 20e9],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['600mb', 600e6],
    ['700000000', 7e8],
    ['null', null],
  ] as const) {
    const text = `model: model\noutput: {dir: out}\nmax_device_memory: ${size}\n${w8}`;
    const { problems, plan } = await inFolder({}, (folder) => checkIn(folder, text));
    assert.deepEqual(problems, []);
    assert.equal(plan?.max_device_memory_bytes, bytes);
  }
});
