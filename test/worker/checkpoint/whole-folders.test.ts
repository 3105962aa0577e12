// Checkpoint folders as a whole: shards and index, tied heads, side files, what is replaced and what is not.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { describedModel, forwardPass, rowsOf } from '../../support/forward-pass.js';
import { maxRelative } from '../../support/golden-tensors.js';
import { withDevice } from '../../support/native-device.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { assertSameTensors, inTemporaryFolder, readTensors, resolvePlan, runPlan, runToCompletion } from '../../support/worker-run.js';

const rtn = (body: string): string => `quant_stage:\n  quant_modifiers:\n    QuantizationModifier: {${body}}\n`;
const int4 = 'weights: {num_bits: 4, type: int, strategy: group, group_size: 16, symmetric: true}';

interface Index {
  metadata: { total_size: number; total_parameters: number };
  weight_map: Record<string, string>;
}

test('several shards hold what one file holds, and the index names them all', () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const recipe = rtn(`ignore: [lm_head], config_groups: {g: {targets: [Linear], ${int4}}}`);
    const whole = await resolvePlan({ recipe, model, output: path.join(dir, 'whole') });
    await runToCompletion(whole);
    const output = path.join(dir, 'sharded');
    const { report } = await runToCompletion({ ...whole, output: { dir: output, max_shard_bytes: 40_000, gguf: null } });

    const index = JSON.parse(readFileSync(path.join(output, 'model.safetensors.index.json'), 'utf8')) as Index;
    const names = readdirSync(output).filter((name) => name.endsWith('.safetensors'));
    assert.ok(names.length > 2);
    assert.deepEqual(
      names.sort(),
      names.map((_, i) => `model-${String(i + 1).padStart(5, '0')}-of-${String(names.length).padStart(5, '0')}.safetensors`),
    );
    assert.deepEqual(Object.keys(index.weight_map), Object.keys(index.weight_map).sort());
    const shards = await Promise.all(names.map(async (name) => [name, await readTensors(path.join(output, name))] as const));
    for (const [name, tensors] of shards) for (const tensor of tensors.keys()) assert.equal(index.weight_map[tensor], name);
    const all = new Map(shards.flatMap(([, tensors]) => [...tensors]));
    assertSameTensors(all, await readTensors(path.join(dir, 'whole', 'model.safetensors')));
    assert.equal(
      index.metadata.total_size,
      [...all.values()].reduce((sum, { bytes }) => sum + bytes.length, 0),
    );
    assert.equal(report.size.weights_bytes_after, index.metadata.total_size);
    // No shard but one that holds a single large tensor is over the limit.
    for (const [, tensors] of shards)
      assert.ok(tensors.size === 1 || [...tensors.values()].reduce((sum, { bytes }) => sum + bytes.length, 0) <= 40_000);
  }));

test('side files are copied, the recipe is written, nothing else is left', () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    writeFileSync(path.join(model, 'generation_config.json'), '{"temperature": 1.0}');
    writeFileSync(path.join(model, 'notes.bin'), 'not a part of a model');
    const output = path.join(dir, 'out');
    const plan = await resolvePlan({ recipe: rtn(`ignore: [lm_head], config_groups: {g: {targets: [Linear], ${int4}}}`), model, output });
    await runToCompletion(plan);
    assert.deepEqual(readdirSync(output).sort(), ['config.json', 'generation_config.json', 'model.safetensors', 'recipe.yaml']);
    assert.equal(readFileSync(path.join(output, 'generation_config.json'), 'utf8'), '{"temperature": 1.0}');
    assert.ok(readFileSync(path.join(output, 'recipe.yaml'), 'utf8').endsWith(plan.recipe.text));
    assert.deepEqual(readdirSync(path.join(dir, 'out.run')).sort(), ['blocks', 'lock.json', 'report.json', 'run.json']);
  }));

test('a checkpoint of ours is replaced, a folder of another is not touched', () =>
  inTemporaryFolder(async (dir) => {
    const model = path.join(dir, 'model');
    writeTinyLlama(model, 'random');
    const output = path.join(dir, 'out');
    const recipe = rtn(`ignore: [lm_head], config_groups: {g: {targets: [Linear], ${int4}}}`);
    await runToCompletion(await resolvePlan({ recipe, model, output }));
    const first = readFileSync(path.join(output, 'model.safetensors'));
    await runToCompletion(await resolvePlan({ recipe: recipe.replace('num_bits: 4', 'num_bits: 8'), model, output }));
    assert.notDeepEqual(readFileSync(path.join(output, 'model.safetensors')), first);

    const foreign = path.join(dir, 'foreign');
    mkdirSync(foreign);
    writeFileSync(path.join(foreign, 'thesis.txt'), 'years of work');
    const plan = await resolvePlan({ recipe, model, output: path.join(dir, 'other') });
    const { ended } = await runPlan({ ...plan, output: { ...plan.output, dir: foreign } });
    assert.equal(ended.failure?.code, 'output-not-ours');
    assert.deepEqual(readdirSync(foreign), ['thesis.txt']);
    assert.ok(!existsSync(`${foreign}.run`));
  }));

const tiedCases = [
  { name: 'the head alone', targets: '[lm_head]', tied: false, packed: ['lm_head'], dense: ['model.embed_tokens'] },
  { name: 'the embedding alone', targets: '[model.embed_tokens]', tied: false, packed: ['model.embed_tokens'], dense: ['lm_head'] },
  { name: 'both', targets: '[lm_head, model.embed_tokens]', tied: true, packed: ['model.embed_tokens'], dense: [] },
];

for (const { name, targets, tied, packed, dense } of tiedCases)
  test(`a tied pair of which ${name} is quantized`, { skip: skipWithoutShared }, () =>
    inTemporaryFolder(async (dir) => {
      const output = path.join(dir, 'out');
      const model = sharedPath('golden', 'compressed-tensors', 'base-qwen2-tied');
      const weights = 'weights: {num_bits: 8, type: int, strategy: channel, symmetric: true}';
      await runToCompletion(await resolvePlan({ recipe: rtn(`config_groups: {g: {targets: ${targets}, ${weights}}}`), model, output }));
      const tensors = await readTensors(path.join(output, 'model.safetensors'));
      const found = (suffix: string): string[] =>
        [...tensors.keys()].filter((tensor) => /^(lm_head|model\.embed_tokens)\./.test(tensor) && tensor.endsWith(suffix));
      assert.deepEqual(
        found('.weight_packed'),
        packed.map((module) => `${module}.weight_packed`),
      );
      assert.deepEqual(
        found('.weight'),
        dense.map((module) => `${module}.weight`),
      );
      const config = JSON.parse(readFileSync(path.join(output, 'config.json'), 'utf8')) as { tie_word_embeddings: boolean };
      assert.equal(config.tie_word_embeddings, tied);
      // Eight bits move the logits little; a head that reads the wrong weight moves them altogether.
      await withDevice(async (device) => {
        const documents = rowsOf(
          Int32Array.from({ length: 12 }, (_, i) => 5 + i),
          12,
        );
        const before = await forwardPass(device, await describedModel(model), documents);
        const after = await forwardPass(device, await describedModel(output), documents);
        assert.ok(maxRelative(after.logits, before.logits) < 0.03, String(maxRelative(after.logits, before.logits)));
      });
    }),
  );
