// What AWQ tells where its assumptions break: channels without input, no input at all, one token, values that are not finite. And where they only seem to.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../../schemas/src/model/safetensors-header.js';
import { tinyLlama, writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, runPlan, type FinishedRun } from '../../support/worker-run.js';

interface Wish {
  /** New value of element i of a tensor; undefined: as it was. */
  change?: (tensor: string, i: number) => number | undefined;
  rows?: number[][];
  awq?: string;
  ignore?: string;
}

const many = Array.from({ length: 6 }, (_, row) =>
  Array.from({ length: 40 }, (_, i) => (11 * i + 17 * row + i * i) % tinyLlama.vocabulary),
);

function runTiny({ change, rows = many, awq = '{n_grid: 5}', ignore = 'lm_head' }: Wish): Promise<FinishedRun> {
  return inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const file = path.join(model, 'model.safetensors');
    const bytes = readFileSync(file);
    for (const { name, offset, shape } of (await readSafetensorsHeader(nodeFiles, file, file)).tensors)
      for (let i = 0; i < shape.reduce((a, b) => a * b, 1); i += 1) {
        const value = change?.(name, i);
        if (value !== undefined) bytes.writeFloatLE(value, offset + 4 * i);
      }
    writeFileSync(file, bytes);
    const dataset = path.join(dir, 'rows.jsonl');
    writeFileSync(dataset, rows.map((input_ids) => `${JSON.stringify({ input_ids })}\n`).join(''));
    const recipe = `quant_stage:\n  quant_modifiers:\n    AWQModifier: ${awq}\n    QuantizationModifier: {ignore: [${ignore}], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: channel}}}}\n`;
    return runPlan(
      await resolvePlan({ recipe, model, output: path.join(dir, 'out'), calibration: { dataset, num_calibration_samples: rows.length } }),
    );
  });
}

const found = ({ report }: FinishedRun): string[] => (report?.problems ?? []).map(({ code, layer }) => `${code} ${layer}`);
const norm = 'model.layers.1.post_attention_layernorm';

test('rows of all kinds: every mapping is scaled, the loss never rises, nothing is told', async () => {
  const run = await runTiny({});
  assert.equal(run.ended.outcome, 'completed', run.ended.failure?.message);
  assert.deepEqual(found(run), []);
  const transforms = run.report?.transforms ?? [];
  assert.equal(transforms.length, 8);
  for (const { smooth_layer, loss_before, loss_after, scale_min, scale_max } of transforms) {
    assert.ok(loss_before !== null && loss_after !== null && loss_after > 0 && loss_after <= loss_before, smooth_layer);
    assert.ok(scale_min > 0 && scale_min <= 1 && scale_max >= 1, smooth_layer);
    assert.ok(Math.abs(scale_min * scale_max - 1) < 1e-5, `the extremes of ${smooth_layer} lie around 1`);
  }
  assert.ok(transforms.some(({ loss_before, loss_after }) => loss_after! < 0.99 * loss_before!));
});

test('a channel that is zero in every row: awq-dead-channels, with its number', async () => {
  const run = await runTiny({ change: (tensor, i) => (tensor === `${norm}.weight` && i === 5 ? 0 : undefined) });
  assert.equal(run.ended.outcome, 'completed');
  assert.deepEqual(found(run), [`awq-dead-channels ${norm}`]);
  const [problem] = run.report?.problems ?? [];
  assert.match(problem?.message ?? '', /^1 of 64 input channels of model\.layers\.1\.mlp\.gate_proj/);
  assert.deepEqual(problem?.recipe_path, ['quant_stage', 'quant_modifiers', 'AWQModifier']);
});

test('inputs that are all zero: awq-inputs-zero, and the weights stay as they are', async () => {
  const run = await runTiny({ change: (tensor) => (tensor === `${norm}.weight` ? 0 : undefined) });
  assert.equal(run.ended.outcome, 'completed');
  // What the MLP multiplies is zero too.
  assert.deepEqual(found(run), [`awq-inputs-zero ${norm}`, 'awq-inputs-zero model.layers.1.mlp.up_proj']);
  const scaled = run.report?.transforms?.find(({ smooth_layer }) => smooth_layer === norm);
  assert.deepEqual([scaled?.loss_before, scaled?.loss_after, scaled?.scale_min, scaled?.scale_max], [0, 0, 1, 1]);
});

test('one token: awq-few-tokens for every mapping', async () => {
  const run = await runTiny({ rows: [[7]] });
  assert.equal(run.ended.outcome, 'completed');
  assert.equal(run.report?.problems.filter(({ code }) => code === 'awq-few-tokens').length, 8);
  assert.match(run.report?.problems[0]?.message ?? '', /come from 1 token:/);
});

test('one token over and over, so that every channel is constant: nothing is wrong with that', async () => {
  const run = await runTiny({ rows: Array.from({ length: 4 }, () => Array.from({ length: 40 }, () => 9)) });
  assert.equal(run.ended.outcome, 'completed');
  assert.deepEqual(found(run), []);
  for (const { loss_before, loss_after } of run.report?.transforms ?? []) assert.ok(loss_after! <= loss_before!);
});

test('an infinity among the inputs ends the run: activation-not-finite, with layer and channel', async () => {
  const run = await runTiny({ change: (tensor, i) => (tensor === `${norm}.weight` && i === 3 ? Infinity : undefined) });
  assert.equal(run.ended.outcome, 'failed');
  assert.equal(run.ended.failure?.code, 'activation-not-finite');
  assert.match(run.ended.failure.message, /model\.layers\.1\.mlp\.gate_proj.*channel 3 is Infinity/s);
});

test('finite inputs whose outputs overflow at every point end the run too', async () => {
  const values = new Map([
    [`${norm}.weight`, 30],
    ['model.layers.1.mlp.down_proj.weight', 3e38],
  ]);
  const run = await runTiny({ change: (tensor) => values.get(tensor) });
  assert.equal(run.ended.outcome, 'failed');
  assert.equal(run.ended.failure?.code, 'activation-not-finite');
  assert.match(run.ended.failure.message, /model\.layers\.1\.mlp.* not finite at any of the 5 points/s);
});

test('weights so large that some scales would carry them beyond their type: those points are left out', async () => {
  const run = await runTiny({ change: (tensor) => (tensor === 'model.layers.1.self_attn.o_proj.weight' ? 3e36 : undefined) });
  // Its outputs still fit: 64 values of at most some percent.
  assert.equal(run.ended.outcome, 'completed', run.ended.failure?.message);
  const scaled = run.report?.transforms?.find(({ smooth_layer }) => smooth_layer === 'model.layers.1.self_attn.v_proj');
  assert.ok(scaled !== undefined && scaled.scale_max < 3.4028e38 / 3e36);
});

test('balance layers that no scheme quantizes: awq-mapping-passed-over, told once for all blocks', async () => {
  const run = await runTiny({ ignore: "lm_head, 're:.*o_proj'" });
  assert.equal(run.ended.outcome, 'completed', run.ended.failure?.message);
  assert.deepEqual(found(run), ['awq-mapping-passed-over model.layers.0.self_attn.v_proj']);
  assert.match(
    run.report?.problems[0]?.message ?? '',
    /passes over 2 of 8 mappings: .* and 1 more are not scaled, as none of o_proj is quantized/,
  );
  assert.equal(run.report?.transforms?.length, 6);
});
