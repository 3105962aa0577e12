// What vLLM loads, by the version that output.runtime names: schemes, kernels and shapes, the split over GPUs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doubled, withExperts } from '../../support/problem-page-folder.js';
import { tinyLlama } from '../../support/model-fixture.js';
import type { TinyModel } from '../../support/model-fixture.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

/** Layers of 128 and 384 columns: tiles of 64 and 128 and groups of 128 divide them. */
const even = doubled(tinyLlama({ intermediate: 192 }));
const ours: readonly string[] = ['runtime-cannot-load', 'kernel-does-not-fit', 'tensor-parallel-cuts-group'];

interface Found {
  severity: string;
  code: string;
  message: string;
  titles: string[];
}

async function found(output: string, modifier: string, model: TinyModel = even): Promise<Found[]> {
  const text = `model: model\noutput: {dir: out, ${output}}\nq_stage:\n  q_modifiers:\n    ${modifier}\n`;
  const { problems } = await inFolder({ model }, (dir) => checkIn(dir, text));
  return problems
    .filter(({ code }) => ours.includes(code))
    .map(({ severity, code, message, fixes }) => ({ severity, code, message, titles: (fixes ?? []).map(({ title }) => title) }));
}

const group = (weights: string, rest = ''): string =>
  `QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {${weights}}${rest}}}}`;
const preset = (scheme: string): string => `QuantizationModifier: {ignore: [lm_head], scheme: ${scheme}}`;
const int8 = ', input_activations: {num_bits: 8, strategy: token, dynamic: true}';
const listed = (problems: Found[]): string[] => problems.map(({ severity, code }) => `${severity} ${code}`);

test('presets that vLLM has a class for are silent in every version that was read', async () => {
  for (const version of ['==0.9.2', '==0.10.2', '==0.11.0', '==0.13.0', '==0.24.0', ''])
    for (const scheme of ['W8A16', 'W4A16', 'W4A16_ASYM', 'W8A8', 'INT8', 'FP8', 'FP8_DYNAMIC', 'NVFP4', 'NVFP4A16'])
      assert.deepEqual(listed(await found(`runtime: vllm${version}`, preset(scheme))), [], `${scheme} in vllm${version}`);
});

test('a scheme without a class is an error, with the change that lets it load', async () => {
  const asymmetric = await found('runtime: vllm==0.11.0', group('num_bits: 8, strategy: channel, symmetric: false', int8));
  assert.deepEqual(listed(asymmetric), ['error runtime-cannot-load']);
  assert.match(asymmetric[0]?.message ?? '', /^vLLM 0\.11\.0 cannot load int8 channel asym.* \(g, 14 layers, first model\.layers\.0\./);
  assert.deepEqual(asymmetric[0]?.titles, ['Make the weights symmetric']);
  for (const weights of ['num_bits: 3, group_size: 32', 'num_bits: 8, strategy: tensor', 'num_bits: 8, type: float, group_size: 64'])
    assert.deepEqual(listed(await found('runtime: vllm==0.11.0', group(weights))), ['error runtime-cannot-load'], weights);
});

test('what came later is refused before, silent after, and information between two versions that were read', async () => {
  for (const [weights, last, first] of [
    ['num_bits: 8, type: float, strategy: block, block_structure: [128, 128]', '0.10.2', '0.11.0'],
    ['num_bits: 4, type: float, group_size: 32', '0.13.0', '0.24.0'],
  ] as const) {
    const modifier = group(weights);
    assert.deepEqual(listed(await found(`runtime: vllm==${last}`, modifier)), ['error runtime-cannot-load'], `${weights} in ${last}`);
    assert.deepEqual(listed(await found(`runtime: vllm==${first}`, modifier)), [], `${weights} in ${first}`);
    assert.deepEqual(listed(await found(`runtime: vllm==${last}.post1`, modifier)), ['error runtime-cannot-load']);
    assert.deepEqual(listed(await found(`runtime: vllm==${last}.1`, modifier)), ['information runtime-cannot-load']);
  }
});

test('actorder group is taken until 0.24.0 and refused by the newest source', async () => {
  const modifier = 'GPTQModifier: {ignore: [lm_head], scheme: W4A16, actorder: group}';
  assert.deepEqual(listed(await found('runtime: vllm==0.24.0', modifier)), []);
  const [problem] = await found('runtime: vllm', modifier);
  assert.equal(problem?.severity, 'warning');
  assert.match(problem.message, /^The vLLM of September 2026 cannot load .* vLLM 0\.24\.0 loads it/);
  assert.deepEqual(problem.titles, ['Change actorder to static']);
});

test('a quantized head and a quantized embedding are refused by releases that keep them unquantized', async () => {
  const head = 'QuantizationModifier: {scheme: W8A16}';
  const [problem] = await found('runtime: vllm==0.11.0', head);
  assert.equal(problem?.severity, 'error');
  assert.deepEqual(problem.titles, ['Ignore lm_head']);
  assert.deepEqual(listed(await found('runtime: vllm==0.24.0', head)), []);
  const embedding = 'QuantizationModifier: {scheme: W8A16, targets: [Linear, Embedding], ignore: [lm_head]}';
  assert.deepEqual(listed(await found('runtime: vllm==0.11.0', embedding)), ['error runtime-cannot-load']);
  assert.deepEqual(listed(await found('runtime: vllm==0.24.0', embedding)), []);
});

test('experts have classes of their own', async () => {
  const model = withExperts(even);
  const asymmetric = "QuantizationModifier: {ignore: [lm_head, 're:.*mlp.gate$'], scheme: W4A16_ASYM}";
  const [problem, ...rest] = await found('runtime: vllm==0.11.0', asymmetric, model);
  assert.equal(problem?.severity, 'error');
  assert.match(problem.message, /12 layers, first model\.layers\.0\.mlp\.experts\.0/);
  assert.deepEqual(rest, []);
  assert.deepEqual(listed(await found('runtime: vllm==0.24.0', asymmetric, model)), []);
});

test('the cache takes 8-bit floats', async () => {
  const cache = (scheme: string): string => `QuantizationModifier: {ignore: [lm_head], scheme: W8A16, kv_cache_scheme: {${scheme}}}`;
  assert.deepEqual(listed(await found('runtime: vllm==0.24.0', cache('num_bits: 8, type: float, strategy: attn_head'))), []);
  assert.deepEqual(listed(await found('runtime: vllm==0.11.0', cache('num_bits: 8, type: float, strategy: attn_head'))), [
    'error runtime-cannot-load',
  ]);
  assert.deepEqual(listed(await found('runtime: vllm==0.24.0', cache('num_bits: 8, type: int'))), ['error runtime-cannot-load']);
});

test('llama.cpp and ONNX Runtime read other files; transformers reads ours', async () => {
  for (const name of ['llama.cpp', 'llama.cpp==b4567', 'onnxruntime==1.20.0']) {
    const [problem] = await found(`runtime: ${name}`, preset('W8A16'));
    assert.equal(problem?.severity, 'error');
    assert.match(
      problem.message,
      name.startsWith('llama') ? /reads GGUF files, and this recipe writes compressed-tensors/ : /reads ONNX files, /,
    );
  }
  assert.deepEqual(await found('runtime: transformers==5.0.0', group('num_bits: 3, group_size: 32')), []);
});

test('without a model nothing is said', () =>
  inFolder({ model: null }, async (dir) => {
    const text =
      'output: {dir: out, runtime: llama.cpp, tensor_parallel_size: 3}\nq_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A16}}}\n';
    const { problems } = await checkIn(dir, text);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['model-not-resolved'],
    );
  }));

test('groups that Marlin does not take: other GPUs and types, and the size that fits', async () => {
  const [problem] = await found('runtime: vllm==0.11.0', group('num_bits: 4, group_size: 16'));
  assert.equal(problem?.severity, 'warning');
  assert.match(
    problem.message,
    /^vLLM 0\.11\.0 has only Exllama \(--dtype float16\) for 8 layers \(down_proj 128 × 384, gate_up_proj 768 × 128, qkv_proj 256 × 128/,
  );
  assert.deepEqual(problem.titles, ['Use group_size 128']);
  assert.deepEqual(listed(await found('runtime: vllm==0.24.0', group('num_bits: 4, group_size: 16'))), []);
});

test('8-bit weights with zero points run on Hopper alone', async () => {
  const [problem] = await found('runtime: vllm==0.24.0', group('num_bits: 8, symmetric: false, strategy: channel'));
  assert.equal(problem?.severity, 'warning');
  assert.match(problem.message, /has only Machete \(Hopper GPUs\) or Conch \(with the package conch-triton-kernels\)/);
  assert.match(problem.message, /Marlin, wants symmetric weights/);
});

test('no kernel at all is an error', async () => {
  const uneven = tinyLlama({ intermediate: 172 });
  const [problem] = await found('runtime: vllm==0.9.2', group('num_bits: 4, symmetric: false, group_size: 4'), uneven);
  assert.equal(problem?.severity, 'error');
  assert.match(problem.message, /^vLLM 0\.9\.2 has no kernel/);
});

test('tiles that 0.24.0 pads cost time there and stop older Marlin', async () => {
  const uneven = doubled(tinyLlama({ intermediate: 172 }));
  const modifier = group('num_bits: 8, strategy: channel');
  const [older] = await found('runtime: vllm==0.11.0', modifier, uneven);
  assert.equal(older?.severity, 'warning');
  assert.match(older.message, /4 layers \(down_proj 128 × 344, gate_up_proj 688 × 128; 8 bits, channel\)/);
  assert.deepEqual(older.titles, ['Ignore down_proj, gate_proj, up_proj']);
  const [newer] = await found('runtime: vllm', modifier, uneven);
  assert.equal(newer?.severity, 'information');
  assert.match(newer.message, /Marlin, which pads/);
});

test('layers that fare better are not named with those that fare worst', async () => {
  // Padding is needed for down_proj and gate, up; nothing but Hopper takes the zero points of all the others.
  const uneven = doubled(tinyLlama({ intermediate: 172 }));
  const groups = `QuantizationModifier: {ignore: [lm_head], config_groups: {a: {targets: ['re:.*mlp.*'], weights: {num_bits: 8, strategy: channel}}, b: {targets: ['re:.*attn.*'], weights: {num_bits: 8, symmetric: false, strategy: channel}}}}`;
  const problems = await found('runtime: vllm==0.24.0', groups, uneven);
  assert.deepEqual(listed(problems).sort(), ['information kernel-does-not-fit', 'warning kernel-does-not-fit']);
  assert.match(
    problems.find(({ severity }) => severity === 'warning')?.message ?? '',
    /4 layers \(qkv_proj 256 × 128, o_proj 128 × 128; 8 bits, asymmetric, channel\)\. Its usual kernel, Marlin, wants symmetric weights for 8 bits\./,
  );
  const mixed = await found('runtime: vllm==0.11.0, tensor_parallel_size: 2', group('num_bits: 4, group_size: 32'));
  assert.match(mixed[0]?.message ?? '', /4 layers \(down_proj 128 × 192, o_proj 128 × 64 on each of 2 GPUs/);
});

test('a split that cuts groups, heads or sizes is an error with the split that goes', async () => {
  const [cut] = await found('tensor_parallel_size: 4', group('num_bits: 4, group_size: 128'));
  assert.equal(cut?.severity, 'error');
  assert.match(cut.message, /each GPU would hold 96 of the 384 inputs of down_proj, which group_size 128 does not divide \(2 layers\)/);
  assert.deepEqual(cut.titles, ['Use tensor_parallel_size 1', 'Use group_size 32 in g']);
  const [heads] = await found('tensor_parallel_size: 3', preset('FP8_DYNAMIC'));
  assert.match(heads?.message ?? '', /its 8 attention heads do not divide by 3; 4 key\/value heads and 3 GPUs do not divide/);
  assert.deepEqual(heads?.titles, ['Use tensor_parallel_size 2']);
  // Eight GPUs share four key/value heads.
  assert.deepEqual(listed(await found('tensor_parallel_size: 8', preset('FP8_DYNAMIC'))), []);
  const tiles = 'num_bits: 8, type: float, strategy: block, block_structure: [128, 128]';
  const [block] = await found('tensor_parallel_size: 2', group(tiles));
  assert.match(block?.message ?? '', /64 of the 128 inputs of o_proj, which a tile of 128 does not divide/);
});

test('the kernels are asked about the share of one GPU', async () => {
  assert.deepEqual(listed(await found('runtime: vllm==0.11.0', group('num_bits: 4, group_size: 32'))), []);
  const [problem] = await found('runtime: vllm==0.11.0, tensor_parallel_size: 4', group('num_bits: 4, group_size: 32'));
  assert.equal(problem?.code, 'kernel-does-not-fit');
  assert.match(problem.message, /down_proj 128 × 96, o_proj 128 × 32 on each of 4 GPUs; 4 bits, group_size 32/);
});

test('another runtime has no use for the kernels and the split of vLLM', async () => {
  assert.deepEqual(await found('runtime: transformers, tensor_parallel_size: 4', group('num_bits: 4, group_size: 128')), []);
});
