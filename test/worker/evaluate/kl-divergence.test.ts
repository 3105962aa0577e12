// The divergence of a written file from its original: the same numbers as float64 loops over both models' logits, in bounded pieces.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { measureDivergence } from '../../../worker/src/evaluate/kl-divergence.js';
import type { EvaluationWatch } from '../../../worker/src/evaluate/model-pass.js';
import { meanOf, percentilesOf } from '../../../worker/src/evaluate/statistics.js';
import { writeDataset } from '../../support/dataset-file.js';
import { failureCode } from '../../support/failures.js';
import { describedModel, forwardPass } from '../../support/forward-pass.js';
import { withDevice } from '../../support/native-device.js';
import { writeSmallModel } from '../../support/safetensors-file.js';

const folder = mkdtempSync(path.join(tmpdir(), 'bitwright-divergence-'));
const scratch = mkdtempSync(path.join(folder, 'scratch-'));
process.env['TMPDIR'] = scratch;
test.after(() => rmSync(folder, { recursive: true, force: true }));

const quiet: EvaluationWatch = { onProblem: () => undefined, onProgress: () => undefined, throwIfCancelled: () => undefined };
const vocabulary = 420;
const rows = Array.from({ length: 40 }, (_, row) => ({
  input_ids: Array.from({ length: 1 + ((row * 53) % 64) }, (_unused, i) => (row * 17 + i * i) % vocabulary),
}));

/** A model, and the same with a weight of its first block changed a little. */
async function twoModels(name: string, by = 0.05): Promise<{ original: ModelDescription; quantized: ModelDescription }> {
  const original = await describedModel(writeSmallModel(path.join(folder, name)));
  const quantized = await describedModel(
    writeSmallModel(path.join(folder, `${name}-changed`), {
      change: (tensors) => {
        const tensor = tensors.get('model.layers.0.mlp.down_proj.weight');
        tensor?.values.forEach((value, i) => (tensor.values[i] = value + by * Math.sin(i)));
      },
    }),
  );
  return { original, quantized };
}

function softmax(logits: ArrayLike<number>, row: number): Float64Array {
  const values = Float64Array.from({ length: vocabulary }, (_, i) => logits[row * vocabulary + i] ?? NaN);
  const largest = Math.max(...values);
  const total = values.reduce((sum, value) => sum + Math.exp(value - largest), 0);
  return values.map((value) => value - largest - Math.log(total));
}

test('KLD, Δp and the same top token are those of float64 loops over the logits of both', async () => {
  const models = await twoModels('loops');
  const klds: number[] = [];
  const deltas: number[] = [];
  let same = 0;
  await withDevice(async (device) => {
    for (const { input_ids } of rows) {
      const [p, q] = [
        await forwardPass(device, models.original, [Int32Array.from(input_ids)]),
        await forwardPass(device, models.quantized, [Int32Array.from(input_ids)]),
      ];
      input_ids.slice(1).forEach((target, row) => {
        const [logP, logQ] = [softmax(p.logits, row), softmax(q.logits, row)];
        klds.push(logP.reduce((sum, value, i) => sum + Math.exp(value) * (value - (logQ[i] ?? NaN)), 0));
        deltas.push(Math.exp(logQ[target] ?? NaN) - Math.exp(logP[target] ?? NaN));
        if (logP.indexOf(Math.max(...logP)) === logQ.indexOf(Math.max(...logQ))) same += 1;
      });
    }
  });
  const fractions: number[] = [];
  const dataset = writeDataset(path.join(folder, 'loops.jsonl'), rows);
  const answer = await withDevice((device) =>
    measureDivergence(models, dataset, device, { ...quiet, onProgress: (fraction) => fractions.push(fraction) }),
  );
  const close = (actual: number, expected: number, what: string): void =>
    assert.ok(Math.abs(actual - expected) <= 1e-6 + 1e-4 * Math.abs(expected), `${what}: ${actual}, not ${expected}`);
  assert.equal(answer.tokens, klds.length);
  assert.equal(answer.documents, rows.length);
  close(answer.mean_kld, meanOf(Float64Array.from(klds)).mean, 'mean KLD');
  assert.ok(answer.mean_kld > 1e-5, `the models differ: ${answer.mean_kld}`);
  close(answer.kld.p99, percentilesOf(Float64Array.from(klds)).p99, '99 % of KLD');
  close(answer.delta_p.p1, percentilesOf(Float64Array.from(deltas)).p1, '1 % of Δp');
  close(answer.rms_delta_p, Math.sqrt(meanOf(Float64Array.from(deltas, (delta) => delta * delta)).mean), 'RMS Δp');
  close(answer.same_top, same / klds.length, 'same top');
  close(answer.mean_ln_ratio, Math.log(answer.perplexity / answer.perplexity_original), 'ln of the ratio');
  assert.deepEqual(
    fractions,
    fractions.toSorted((a, b) => a - b),
  );
  assert.equal(fractions.at(-1), 1);
  assert.deepEqual(readdirSync(scratch), []);
});

test('a model against itself: zero, and the same token always', async () => {
  const { original } = await twoModels('itself');
  const dataset = writeDataset(path.join(folder, 'itself.jsonl'), rows);
  const answer = await withDevice((device) => measureDivergence({ original, quantized: original }, dataset, device, quiet));
  assert.deepEqual([answer.mean_kld, answer.kld.max, answer.rms_delta_p, answer.same_top, answer.mean_ln_ratio], [0, 0, 0, 1, 0]);
});

/** What the emulated device has for cuBLAS. */
const workspaceBytes = 32 << 20;

for (const kind of ['cpu', 'cuda'] as const)
  test(`where memory runs out on ${kind === 'cpu' ? 'the processor' : 'the (emulated) CUDA device'} both models give up together, and the figures stay`, async () => {
    const models = await twoModels(`capped-${kind}`);
    const dataset = writeDataset(path.join(folder, `capped-${kind}.jsonl`), rows);
    const ownBytes = kind === 'cuda' ? workspaceBytes : 0;
    let peak = 0;
    const measured = (limit: number, problems: RunProblem[]) =>
      withDevice(
        async (device) => {
          device.native.limitMemory(limit);
          const watch = { ...quiet, onProblem: (problem: RunProblem) => void problems.push(problem) };
          const answer = await measureDivergence(models, dataset, device, watch);
          peak = device.native.memory().peak_bytes - ownBytes;
          return answer;
        },
        2,
        kind,
      );
    const unlimited: RunProblem[] = [];
    const expected = await measured(0, unlimited);
    assert.deepEqual(unlimited, []);
    const limit = Math.floor(peak / 10);
    const told: RunProblem[] = [];
    const answer = await measured(limit + ownBytes, told);
    assert.ok(peak <= limit, `${peak} of ${limit} bytes`);
    assert.deepEqual([...new Set(told.map(({ code }) => code))], ['memory-degraded']);
    const messages = told.map(({ message }) => message);
    assert.ok(
      messages.some((message) => message.includes('The rows now pass in')),
      messages.join('\n'),
    );
    assert.deepEqual([answer.tokens, answer.documents], [expected.tokens, expected.documents]);
    // Rows pass in other batches, whose products are rounded in another order.
    for (const key of ['mean_kld', 'rms_delta_p', 'perplexity', 'perplexity_original'] as const)
      assert.ok(Math.abs(answer[key] / expected[key] - 1) < 1e-4, `${key}: ${answer[key]}, with enough memory ${expected[key]}`);
    assert.deepEqual(readdirSync(scratch), []);
  });

test('what is less than one document and one row of logits need is told with the stage', async () => {
  const models = await twoModels('too-small');
  const dataset = writeDataset(path.join(folder, 'too-small.jsonl'), rows);
  await withDevice(async (device) => {
    device.native.limitMemory(1e5);
    await assert.rejects(measureDivergence(models, dataset, device, quiet), failureCode('memory-too-small'));
  });
});

test('a weight that is not a number is told with the document', async () => {
  const { original } = await twoModels('nan');
  const quantized = await describedModel(
    writeSmallModel(path.join(folder, 'nan-changed'), {
      change: (tensors) => void tensors.get('model.embed_tokens.weight')?.values.fill(NaN, 7 * 32, 7 * 32 + 1),
    }),
  );
  const dataset = writeDataset(path.join(folder, 'nan.jsonl'), [{ input_ids: [1, 2, 3, 4] }, { input_ids: [1, 2, 7, 3] }]);
  await withDevice((device) =>
    assert.rejects(
      measureDivergence({ original, quantized }, dataset, device, quiet),
      failureCode('loss-not-finite', /document 2 is NaN/, /nan-changed/),
    ),
  );
});

test('percentiles lie between neighbours in order, as numpy and llama.cpp take them', () => {
  const { min, p25, median, p90, max } = percentilesOf(Float64Array.from([4, 1, 3, 2, 10]));
  assert.deepEqual([min, p25, median, max], [1, 2, 3, 10]);
  assert.ok(Math.abs(p90 - 7.6) < 1e-12);
  assert.equal(percentilesOf(Float64Array.from([7])).p1, 7);
  assert.deepEqual(meanOf(Float64Array.from([1, 2, 3, 4])), { mean: 2.5, stderr: Math.sqrt(5 / 3 / 4) });
});
