// Whole runs of GGUFModifier: the one file, read back by its own header; importance; bytes that do not depend on threads or on an interruption; what breaks its assumptions.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { readGgufHeader } from '../../../schemas/src/model/gguf-header.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { loadWeights } from '../../../worker/src/checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader } from '../../../worker/src/checkpoint/tensor-reader.js';
import { damaged } from '../../support/damage.js';
import { tinyLlama, writeModel, type LlamaChanges } from '../../support/model-fixture.js';
import { withDevice } from '../../support/native-device.js';
import { seededRandom } from '../../support/random.js';
import { sentencePieceTokenizer } from '../../support/small-tokenizer.js';
import { inTemporaryFolder, resolvePlan, runPlan, runToCompletion } from '../../support/worker-run.js';

const rows = Array.from({ length: 6 }, (_, i) => `{"text": "${'ab a b '.repeat(3 + i)}"}`).join('\n');

/** A Llama whose columns blocks of 256 divide; its second half of columns matters little where `quiet`. */
function writeLlama(dir: string, changes: LlamaChanges = {}, spoil: (value: number, index: number) => number = (value) => value): string {
  const random = seededRandom(5);
  let index = 0;
  writeModel(dir, tinyLlama({ hidden: 256, intermediate: 512, keyValues: 128, vocabulary: 265, ...changes }), () =>
    spoil((random.below(2000) / 1000 - 1) * 0.1, index++),
  );
  writeFileSync(path.join(dir, 'tokenizer.json'), JSON.stringify(sentencePieceTokenizer()));
  writeFileSync(path.join(path.dirname(dir), 'rows.jsonl'), rows);
  return dir;
}

interface Wish {
  fields?: string;
  changes?: LlamaChanges;
  calibrated?: boolean;
  evaluated?: boolean;
  spoil?: (value: number, index: number) => number;
  name?: string;
}

function planIn(
  dir: string,
  { fields = 'type: Q4_K_M', changes, calibrated, evaluated, spoil, name = 'out' }: Wish,
): Promise<QuantizationPlan> {
  const dataset = path.join(dir, 'rows.jsonl');
  return resolvePlan({
    recipe: `q_stage:\n  q_modifiers:\n    GGUFModifier: {${fields}}\n`,
    model: writeLlama(path.join(dir, 'model'), changes, spoil),
    output: path.join(dir, name),
    ...(calibrated ? { calibration: { dataset, num_calibration_samples: 6, max_seq_length: 32 } } : {}),
    ...(evaluated ? { evaluate: { dataset, max_seq_length: 32 } } : {}),
  });
}

const fileIn = (dir: string): string => path.join(dir, readdirSync(dir).find((name) => name.endsWith('.gguf')) ?? '');

test('one file: types of the mix, sizes as estimated, perplexity measured on it', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, { evaluated: true });
    const { report } = await runToCompletion(plan);
    assert.deepEqual(
      report.problems.filter(({ code }) => code !== 'rows-truncated'),
      [],
    );
    assert.deepEqual(readdirSync(plan.output.dir).sort(), ['model-Q4_K_M.gguf', 'recipe.yaml', 'tokenizer.json']);
    const file = fileIn(plan.output.dir);
    const header = await readGgufHeader(nodeFiles, file, 'it');
    assert.deepEqual(header.problems, []);
    const types = new Map(header.tensors.map(({ name, type }) => [name, type]));
    assert.equal(types.get('blk.0.attn_q.weight'), 'Q4_K');
    assert.equal(types.get('blk.1.ffn_down.weight'), 'Q6_K');
    assert.equal(types.get('output.weight'), 'Q6_K');
    assert.equal(types.get('output_norm.weight'), 'F32');
    assert.equal(types.size, 21);
    const stored = report.layers.reduce((sum, { bytes_after }) => sum + bytes_after, 0);
    const weights = report.layers.reduce((sum, { rows: r, columns }) => sum + r * columns, 0);
    assert.equal((stored * 8) / weights, plan.estimate.bits_per_weight);
    assert.equal(
      header.tensors.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
      plan.estimate.weights_bytes_after,
    );
    const { before, after } = report.quality ?? {};
    assert.ok(before && after && before.tokens === after.tokens);
    assert.ok(Math.abs(after.perplexity / before.perplexity - 1) < 0.05, `${before.perplexity} ${after.perplexity}`);
    assert.notEqual(before.perplexity, after.perplexity);
    assert.ok(report.layers.every(({ scheme, weight_sqnr_db }) => /^Q[46]_K$/.test(scheme ?? '') && (weight_sqnr_db ?? 0) > 20));
  }));

for (const [model_type, extra] of [
  ['llama', {}],
  ['qwen2', {}],
] as const)
  test(`${model_type}: a file of floats and blocks comes back as the weights that the run had`, () =>
    inTemporaryFolder(async (dir) => {
      const plan = await planIn(dir, {
        fields: "type: Q8_0, ignore: ['re:.*[.]1[.]self_attn.*']",
        changes: { config: { model_type, ...extra } },
      });
      await runToCompletion(plan);
      const { model, problems } = await describeModel(plan.output.dir, nodeFiles);
      assert.deepEqual(problems, []);
      assert.ok(model);
      assert.equal(model.model_type, model_type);
      const facts = plan.model.architecture;
      assert.deepEqual({ ...model.architecture, rms_norm_eps: 0 }, { ...facts, rms_norm_eps: 0 });
      await withDevice(async (device) => {
        const original = openTensorReader(device, modelTensors(plan.model));
        const written = await loadWeights(
          openTensorReader(device, modelTensors(model)),
          () => true,
          (module) => model.quantization?.layers[module] ?? null,
        );
        using own = written;
        for (const name of original.names) {
          using before = original.load(name);
          const [wanted, found] = [await before.readFloats(), await own.tensor(name).readFloats()];
          const exact = /norm|1\.self_attn/.test(name);
          const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          found.forEach((value, i) =>
            assert.ok(Math.abs(value - (wanted[i] ?? NaN)) <= (exact ? 0 : largest / 127), `${name} ${i}: ${value} for ${wanted[i]}`),
          );
        }
      });
    }));

test('importance makes the output error smaller, layer by layer and in all', () =>
  inTemporaryFolder(async (dir) => {
    const errors = async (fields: string, name: string): Promise<number[]> => {
      const plan = await planIn(dir, { fields: `type: Q3_K, pure: true, ${fields}`, calibrated: true, name });
      // Rows pass through the blocks either way, so that both have output errors.
      const dataset = path.join(dir, 'rows.jsonl');
      const calibration = {
        dataset,
        text_column: 'text',
        num_calibration_samples: 6,
        max_seq_length: 32,
        shuffle: false,
        seed: 42,
        sha256: null,
        bytes: rows.length,
      };
      const { report } = await runToCompletion({ ...plan, calibration });
      assert.deepEqual(
        report.problems.filter(({ severity }) => severity !== 'information'),
        [],
      );
      return report.layers.flatMap(({ relative_output_error }) => relative_output_error ?? []);
    };
    const [plain, weighed] = [await errors('importance: false', 'plain'), await errors('importance: true', 'weighed')];
    assert.equal(plain.length, 15);
    const better = weighed.filter((error, i) => error < (plain[i] ?? 0)).length;
    assert.ok(better >= 12, `${better} of 15: ${weighed.join(' ')} against ${plain.join(' ')}`);
    const [all, before] = [weighed, plain].map((errors) => errors.reduce((sum, error) => sum + error, 0));
    assert.ok((all ?? 1) < 0.95 * (before ?? 0), `${all} against ${before}`);
  }));

test('the same bytes with one thread and three, and after an interruption', () =>
  inTemporaryFolder(async (dir) => {
    const fields = 'type: Q2_K, importance: true';
    const plan = await planIn(dir, { fields, calibrated: true });
    await runToCompletion(plan, { threads: 1 });
    const whole = readFileSync(fileIn(plan.output.dir));
    const again = { ...plan, output: { ...plan.output, dir: path.join(dir, 'again') } };
    await runToCompletion(again, { threads: 3 });
    assert.ok(whole.equals(readFileSync(fileIn(again.output.dir))));
    const stopped = { ...plan, output: { ...plan.output, dir: path.join(dir, 'stopped') } };
    const { ended } = await runPlan(stopped, {
      onEvent: (event, context) => {
        if (event.kind === 'stage-began' && event.stage === 'quantize' && event.block === 1) context.cancel();
      },
    });
    assert.equal(ended.outcome, 'cancelled');
    assert.throws(() => readdirSync(stopped.output.dir));
    const { events } = await runToCompletion(stopped);
    assert.ok(events.some((event) => event.kind === 'run-began' && event.resumed_blocks > 0));
    assert.ok(whole.equals(readFileSync(fileIn(stopped.output.dir))));
  }));

test('gguf-type-falls-back: the report says it once for each type', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, { changes: { hidden: 64, intermediate: 172, keyValues: 32 } });
    const { report } = await runToCompletion(plan);
    const found = report.problems.filter(({ code }) => code === 'gguf-type-falls-back');
    assert.equal(found.length, report.problems.length);
    assert.match(found.map(({ message }) => message).join('\n'), /layers are in Q5_0 in place of Q4_K/);
    assert.match(
      found.map(({ message }) => message).join('\n'),
      /2 layers are in F32 as before, as no block of GGUF divides their columns/,
    );
    const { model } = await describeModel(plan.output.dir, nodeFiles);
    assert.equal(model?.quantization?.layers['model.layers.0.mlp.down_proj']?.weights?.gguf_type, 'F32');
  }));

test('a NaN ends the run with the name of the tensor, rows of zeros and constant rows do not', () =>
  inTemporaryFolder(async (dir) => {
    // Tensors are filled in order: the embedding has 265 · 256 values, the norm 256, the head as many as the embedding; then the first block.
    const first = 2 * 265 * 256 + 256 + 2 * 256;
    const bad = await planIn(dir, { spoil: (value, index) => (index === first + 300 ? NaN : value) });
    const { ended } = await runPlan(bad);
    assert.equal(ended.failure?.code, 'tensor-not-finite');
    assert.match(ended.failure?.message ?? '', /self_attn/);
    const flat = await planIn(dir, {
      name: 'flat',
      spoil: (value, index) => (index >= first && index < first + 256 ? 0 : index < first + 512 && index >= first + 256 ? 0.25 : value),
    });
    const { report } = await runToCompletion(flat);
    assert.deepEqual(report.problems, []);
    assert.ok(report.layers.every(({ weight_mse }) => Number.isFinite(weight_mse)));
  }));

test('one token is enough for importance, and inputs that are all zero are told', () =>
  inTemporaryFolder(async (dir) => {
    const one = await planIn(dir, { fields: 'type: Q4_K_M, importance: true', calibrated: true, name: 'one' });
    writeFileSync(path.join(dir, 'rows.jsonl'), '{"input_ids": [5]}\n');
    const { report } = await runToCompletion({ ...one, calibration: { ...one.calibration!, bytes: 19 } });
    assert.ok(report.layers.every(({ weight_mse }) => Number.isFinite(weight_mse)));
    const zero = await planIn(dir, { fields: 'type: Q4_K_M, importance: true', calibrated: true, name: 'zero', spoil: () => 0 });
    const { report: silent } = await runToCompletion(zero);
    const told = silent.problems.filter(({ code }) => code === 'imatrix-without-importance');
    assert.equal(told.length, 15);
    assert.match(told[0]?.message ?? '', /weigh alike although importance is true: all of its calibration inputs are zero/);
  }));

test('damaged files are told, never followed', () =>
  inTemporaryFolder(async (dir) => {
    const plan = await planIn(dir, { fields: 'type: Q8_0' });
    await runToCompletion(plan);
    const file = fileIn(plan.output.dir);
    const whole = readFileSync(file);
    const { dataStart } = await readGgufHeader(nodeFiles, file, 'it');
    const random = seededRandom(9);
    let refused = 0;
    for (let round = 0; round < 400; round += 1) {
      writeFileSync(file, damaged(whole, dataStart, random));
      const { model, problems } = await describeModel(plan.output.dir, nodeFiles);
      assert.equal(model === null, problems.length > 0);
      if (model === null) refused += 1;
      // What is taken lies in the file, tensor by tensor.
      for (const { offset, bytes, name } of model?.tensors ?? []) assert.ok(offset + bytes <= whole.length + 16, name);
    }
    assert.ok(refused > 100, `${refused} of 400`);
  }));
