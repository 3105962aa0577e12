// Perplexity: transformers' figure on a real model, the same number however documents are packed and at any thread count, and clear failures.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { Perplexity, RunProblem } from '../../../schemas/src/generated/report.js';
import type { EvaluationWatch } from '../../../worker/src/evaluate/model-pass.js';
import { measurePerplexity } from '../../../worker/src/evaluate/perplexity.js';
import { planOfDataset, writeDataset } from '../../support/dataset-file.js';
import { failureCode } from '../../support/failures.js';
import { describedModel, forwardPass, rowsOf } from '../../support/forward-pass.js';
import { goldenOf, readGoldenTensors } from '../../support/golden-tensors.js';
import { withDevice } from '../../support/native-device.js';
import { writeSmallModel } from '../../support/safetensors-file.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';

/** Temporary folders of the product land here, so that a test sees what is left. */
const folder = mkdtempSync(path.join(tmpdir(), 'bitwright-perplexity-'));
const scratch = mkdtempSync(path.join(folder, 'scratch-'));
process.env['TMPDIR'] = scratch;
test.after(() => rmSync(folder, { recursive: true, force: true }));

const quiet: EvaluationWatch = { onProblem: () => undefined, onProgress: () => undefined, throwIfCancelled: () => undefined };
const measure = (model: ModelDescription, dataset: DatasetPlan, watch = quiet, threads = 2): Promise<Perplexity> =>
  withDevice((device) => measurePerplexity(model, dataset, [device], watch), threads);

/** −log softmax(row)[target], in double precision. */
function loss(logits: ArrayLike<number>, row: number, vocabulary: number, target: number): number {
  const values = Array.from({ length: vocabulary }, (_, i) => logits[row * vocabulary + i] ?? NaN);
  const largest = Math.max(...values);
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0)) - (values[target] ?? NaN);
}

test('stories260K on the validation stories: the perplexity of transformers', { skip: skipWithoutShared }, async () => {
  const model = await describedModel(sharedPath('data', 'models', 'stories260K'));
  const dataset = planOfDataset(sharedPath('data', 'text', 'tinystories-validation.jsonl'), { max_seq_length: 512 });
  const fractions: number[] = [];
  const problems: RunProblem[] = [];
  const { perplexity, nll, tokens, documents } = await measure(model, dataset, {
    ...quiet,
    onProblem: (problem) => problems.push(problem),
    onProgress: (fraction) => fractions.push(fraction),
  });
  assert.equal(tokens, 101_175);
  assert.equal(documents, 240);
  assert.ok(Math.abs(perplexity - 3.7831) <= 0.0005, `${perplexity}`);
  assert.equal(perplexity, Math.exp(nll / tokens));
  assert.deepEqual(
    fractions,
    fractions.toSorted((a, b) => a - b),
  );
  assert.ok(fractions.length > 20 && fractions.at(-1) === 1, `${fractions.length} steps, the last ${fractions.at(-1)}`);
  assert.deepEqual(
    problems.map(({ code, recipe_path }) => [code, recipe_path]),
    [['rows-truncated', ['evaluate', 'perplexity']]],
  );
});

test('the logits of transformers give the same number', { skip: skipWithoutShared }, async () => {
  const dir = sharedPath('golden', 'architectures', 'llama3-rope');
  const golden = await readGoldenTensors(path.join(dir, 'golden.safetensors'));
  const ids = goldenOf(golden, 'input_ids');
  const logits = goldenOf(golden, 'logits').values;
  const documents = rowsOf(ids.values, ids.shape[1] ?? 0);
  let [nll, position] = [0, 0];
  for (const document of documents)
    document.forEach((_, i) => {
      const next = document[i + 1];
      if (next !== undefined) nll += loss(logits, position, 96, next);
      position += 1;
    });
  const rows = documents.map((document) => ({ input_ids: [...document] }));
  const answer = await measure(await describedModel(dir), writeDataset(path.join(folder, 'golden.jsonl'), rows));
  assert.equal(answer.tokens, position - documents.length);
  assert.ok(Math.abs(answer.nll / nll - 1) < 1e-5, `${answer.nll}, not ${nll}`);
});

/** Documents of 1 to 128 tokens, enough for several batches. */
const rows = Array.from({ length: 400 }, (_, row) => ({
  input_ids: Array.from({ length: 1 + ((row * 53) % 128) }, (_unused, i) => (row * 17 + i * i) % 420),
}));

test('one document at a time, packed, at one thread or two: the same number', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'packing')));
  const packed = await measure(model, writeDataset(path.join(folder, 'packed.jsonl'), rows));
  const again = await measure(model, planOfDataset(path.join(folder, 'packed.jsonl')), quiet, 1);
  assert.deepEqual(again, packed, 'the same bits at one thread');
  const [n_tokens, nll] = await withDevice(async (device) => {
    let [tokens, total] = [0, 0];
    for (const { input_ids } of rows.filter((_, row) => row % 10 === 0)) {
      const { logits } = await forwardPass(device, model, [Int32Array.from(input_ids)]);
      input_ids.slice(1).forEach((target, i) => (total += loss(logits, i, 420, target)));
      tokens += input_ids.length - 1;
    }
    return [tokens, total];
  });
  const some = await measure(
    model,
    writeDataset(
      path.join(folder, 'some.jsonl'),
      rows.filter((_, row) => row % 10 === 0),
    ),
  );
  assert.equal(some.tokens, n_tokens);
  assert.ok(Math.abs(some.nll / nll - 1) < 1e-6, `${some.nll}, not ${nll}`);
});

test('it stops between batches, and leaves nothing behind', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'cancel'), { blocks: 3 }));
  const dataset = writeDataset(path.join(folder, 'cancel.jsonl'), rows);
  for (const stopAt of [0, 2, 7]) {
    let asked = 0;
    const throwIfCancelled = (): void => {
      if (asked++ === stopAt) throw new Error('stop');
    };
    await assert.rejects(measure(model, dataset, { ...quiet, throwIfCancelled }), /^Error: stop$/);
    assert.equal(asked, stopAt + 1);
  }
  assert.deepEqual(readdirSync(scratch), []);
});

test('a device that was cancelled says so', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'cancelled')));
  const dataset = writeDataset(path.join(folder, 'cancelled.jsonl'), rows);
  await withDevice(async (device) => {
    await assert.rejects(
      measurePerplexity(model, dataset, [device], { ...quiet, onProgress: () => device.native.cancel() }),
      /cancelled: /,
    );
    await device.sync().catch(() => undefined);
    device.native.resume();
  });
  assert.deepEqual(readdirSync(scratch), []);
});

test('a weight that is not a number is told with the document', async () => {
  const model = await describedModel(
    writeSmallModel(path.join(folder, 'nan'), {
      // The embedding of token 7 only: the second document is the first that holds it.
      change: (tensors) => void tensors.get('model.embed_tokens.weight')?.values.fill(NaN, 7 * 32, 7 * 32 + 1),
    }),
  );
  const dataset = writeDataset(path.join(folder, 'nan.jsonl'), [{ input_ids: [1, 2, 3, 4] }, { input_ids: [1, 2, 7, 3] }]);
  await assert.rejects(
    measure(model, dataset),
    failureCode('loss-not-finite', /document 2 is NaN.*bitwright inspect .*nan --layer NAME counts/, /nan/),
  );
});

test('a text without anything to predict is refused', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'short')));
  const dataset = writeDataset(path.join(folder, 'short.jsonl'), [{ input_ids: [1] }, { input_ids: [2] }]);
  await assert.rejects(measure(model, dataset), failureCode('dataset-invalid', /short\.jsonl/, /none of its 2 documents has two tokens/));
});

test('a model in memory is never more than a block and the head', async () => {
  const facts = { blocks: 12, config: { max_position_embeddings: 128 } };
  const model = await describedModel(writeSmallModel(path.join(folder, 'memory'), facts));
  const dataset = writeDataset(path.join(folder, 'memory.jsonl'), [{ input_ids: [1, 2, 3] }]);
  const ofBlock = (name: string): boolean => name.startsWith('model.layers.0.');
  const bytesOf = (isCounted: (name: string) => boolean): number =>
    model.tensors.filter(({ name }) => isCounted(name)).reduce((sum, { bytes }) => sum + bytes, 0);
  const peak = await withDevice(async (device) => {
    device.native.resetPeakMemory();
    await measurePerplexity(model, dataset, [device], quiet);
    return device.native.memory().peak_bytes;
  });
  const tables = 2 * 3 * 4 * 4;
  const head = bytesOf((name) => /^(lm_head|model\.norm)\./.test(name));
  // Three rows of activations beside the weights: not more than 64 numbers per weight row of any layer.
  const activations = 3 * 4 * (420 + 12 * 48);
  const bound =
    Math.max(
      bytesOf(ofBlock),
      head,
      bytesOf((name) => name.startsWith('model.embed')),
    ) +
    tables +
    activations;
  assert.ok(peak <= bound, `${peak} bytes at the peak, ${bound} allowed; the whole model has ${bytesOf(() => true)}`);
});
