// Dataset rows become token batches: BOS once, no EOS, cut, packed behind each other; and what is lost on the way is told.
import assert from 'node:assert/strict';
import { appendFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { DatasetPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { loadTokenBatches } from '../../../worker/src/calibration/token-batches.js';
import { planOfDataset, writeDataset } from '../../support/dataset-file.js';
import { failureCode } from '../../support/failures.js';
import { describedModel } from '../../support/forward-pass.js';
import { withDevice } from '../../support/native-device.js';
import { writeSmallModel } from '../../support/safetensors-file.js';
import { repositoryRoot, sharedPath, skipWithoutShared } from '../../support/shared.js';
import { temporaryFolder } from '../../support/tiny-llama-folder.js';

const folder = temporaryFolder('token-batches');
test.after(() => rmSync(folder, { recursive: true, force: true }));

const tokenizerFile = path.join(repositoryRoot, 'test', 'golden', 'tokenizers', 'llama2.json');
const smallModel = (name: string, tokenizerConfig: object): Promise<ModelDescription> =>
  describedModel(writeSmallModel(path.join(folder, name), { tokenizer: { file: tokenizerFile, config: tokenizerConfig } }));

interface Loaded {
  documents: number[][];
  batches: { positions: number[]; offsets: number[] }[];
  problems: { code: string; severity: string; message: string }[];
  longest: number;
}

const integersOf = (bytes: Uint8Array): number[] => [...new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];

function load(dataset: DatasetPlan, model: ModelDescription): Promise<Loaded> {
  return withDevice(async (device) => {
    using tokens = await loadTokenBatches(dataset, model, [device]);
    const loaded: Loaded = { documents: [], batches: [], problems: tokens.problems, longest: tokens.longest };
    for (const batch of tokens.batches) {
      const ids = integersOf(await batch.ids.read());
      assert.deepEqual(ids, [...batch.tokens]);
      const offsets = integersOf(await batch.documentOffsets.read());
      assert.deepEqual(offsets, batch.offsets);
      assert.equal(offsets.at(-1), batch.nTokens);
      offsets.slice(1).forEach((end, index) => loaded.documents.push(ids.slice(offsets[index], end)));
      loaded.batches.push({ positions: integersOf(await batch.positionIds.read()), offsets });
    }
    assert.equal(tokens.nDocuments, loaded.documents.length);
    assert.equal(tokens.nTokens, loaded.documents.flat().length);
    return loaded;
  });
}

const withBos = { add_bos_token: true, bos_token: '<s>' };

test('text: BOS once, no EOS, cut, and the cut is told', async () => {
  const model = await smallModel('text', withBos);
  const rows = [{ text: 'the cat sat on the mat' }, { text: '<s>the cat' }, { text: '' }];
  const whole = await load(writeDataset(path.join(folder, 'text.jsonl'), rows), model);
  assert.ok(whole.documents.every((document) => document[0] === 1 && !document.slice(1).includes(1) && !document.includes(2)));
  assert.deepEqual(whole.documents[2], [1]);
  assert.deepEqual(
    whole.problems.map(({ code, severity }) => [code, severity]),
    [['rows-empty', 'warning']],
  );
  assert.match(whole.problems[0]?.message ?? '', /^1 of 3 rows of .*text\.jsonl have no text, and were used with .*BOS/);
  const cut = await load(planOfDataset(path.join(folder, 'text.jsonl'), { max_seq_length: 3 }), model);
  assert.deepEqual(
    cut.documents,
    whole.documents.map((document) => document.slice(0, 3)),
  );
  const lost = whole.documents.reduce((sum, document) => sum + Math.max(0, document.length - 3), 0);
  assert.deepEqual(
    cut.problems.map(({ code, severity }) => [code, severity]),
    [
      ['rows-truncated', 'information'],
      ['rows-empty', 'warning'],
    ],
  );
  assert.match(
    cut.problems[0]?.message ?? '',
    new RegExp(`of 3 rows .*text\\.jsonl are longer than 3 tokens .*; ${lost} tokens are not used`),
  );
});

test('a model without BOS gets none, and rows without a token are told', async () => {
  const model = await smallModel('no-bos', { add_bos_token: false, bos_token: null });
  const { documents, problems } = await load(writeDataset(path.join(folder, 'no-bos.jsonl'), [{ text: 'cat' }, { text: '' }]), model);
  assert.equal(documents.length, 1);
  assert.ok(!documents[0]?.includes(1));
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['rows-empty'],
  );
});

test('input_ids are used as they are, without a tokenizer', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'ids')));
  const rows = [[5, 6, 7], [1, 2], [419]];
  const file = path.join(folder, 'ids.jsonl');
  const { documents, batches, longest } = await load(
    writeDataset(
      file,
      rows.map((input_ids) => ({ input_ids })),
    ),
    model,
  );
  assert.deepEqual(documents, rows);
  assert.deepEqual(batches, [{ positions: [0, 1, 2, 0, 1, 0], offsets: [0, 3, 5, 6] }]);
  assert.equal(longest, 3);
  for (const wrong of [420, -1])
    await assert.rejects(
      load(writeDataset(path.join(folder, 'wrong.jsonl'), [{ input_ids: [1] }, { input_ids: [3, wrong] }]), model),
      failureCode('dataset-invalid', /line 2/, new RegExp(`token id ${wrong} is outside the vocabulary of 420`)),
    );
});

test('long datasets make several batches, in order, none split', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'many')));
  const rows = Array.from({ length: 900 }, (_, row) => Array.from({ length: 1 + ((row * 37) % 100) }, (_, i) => (row + i) % 420));
  const dataset = writeDataset(
    path.join(folder, 'many.jsonl'),
    rows.map((input_ids) => ({ input_ids })),
  );
  const { documents, batches } = await load(dataset, model);
  assert.deepEqual(documents, rows);
  assert.ok(batches.length > 1);
});

test('num_calibration_samples takes the first rows, shuffle the same ones for one seed', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'choose')));
  const rows = Array.from({ length: 50 }, (_, row) => ({ input_ids: [row, row] }));
  const file = path.join(folder, 'choose.jsonl');
  writeDataset(file, rows);
  const chosen = async (changes: Partial<DatasetPlan>): Promise<number[]> =>
    (await load(planOfDataset(file, changes), model)).documents.map(([first]) => first ?? -1);
  assert.deepEqual(await chosen({ num_calibration_samples: 3 }), [0, 1, 2]);
  const shuffled = await chosen({ num_calibration_samples: 10, shuffle: true, seed: 42 });
  // Fisher and Yates on mulberry32, computed with another program: a change here changes what every seed means.
  assert.deepEqual(shuffled, [35, 47, 43, 10, 38, 33, 39, 24, 15, 2]);
  assert.deepEqual(await chosen({ num_calibration_samples: 10, shuffle: true, seed: 42 }), shuffled);
  assert.notDeepEqual(await chosen({ num_calibration_samples: 10, shuffle: true, seed: 43 }), shuffled);
  const all = await chosen({ shuffle: true, seed: 7 });
  assert.deepEqual(
    all.toSorted((a, b) => a - b),
    rows.map((_, row) => row),
  );
});

test('too few rows, and messages without a template, are told', async () => {
  const model = await smallModel('told', withBos);
  const messages = [
    { role: 'user', content: 'the cat' },
    { role: 'assistant', content: 'sat' },
  ];
  const dataset = writeDataset(path.join(folder, 'told.jsonl'), [{ messages }], { num_calibration_samples: 512 });
  const { problems } = await load(dataset, model);
  assert.deepEqual(
    problems.map(({ code, severity }) => [code, severity]),
    [
      ['dataset-too-short', 'warning'],
      ['messages-without-template', 'warning'],
    ],
  );
  assert.match(problems[0]?.message ?? '', /has 1 rows .* asks for 512/);
});

test('refuses a dataset that changed since the plan, that is empty, or that needs a tokenizer which is not there', async () => {
  const model = await describedModel(writeSmallModel(path.join(folder, 'refuse')));
  const file = path.join(folder, 'changed.jsonl');
  const plan = writeDataset(file, [{ input_ids: [1] }]);
  appendFileSync(file, '{"input_ids": [2]}\n');
  await assert.rejects(load(plan, model), failureCode('model-file-changed', /changed\.jsonl/, /bytes/));
  await assert.rejects(
    load(writeDataset(path.join(folder, 'empty.jsonl'), []), model),
    failureCode('dataset-invalid', /empty\.jsonl/, /no row/),
  );
  await assert.rejects(
    load(writeDataset(path.join(folder, 'text-only.jsonl'), [{ text: 'a' }]), model),
    failureCode('file-unreadable', /tokenizer\.json/),
  );
  const gone = { ...plan, dataset: path.join(folder, 'gone.jsonl') };
  await assert.rejects(load(gone, model), failureCode('file-unreadable', /gone\.jsonl/));
});

test('the validation stories have the token count of transformers', { skip: skipWithoutShared }, async () => {
  const model = await describedModel(sharedPath('data', 'models', 'stories260K'));
  const dataset = planOfDataset(sharedPath('data', 'text', 'tinystories-validation.jsonl'), { max_seq_length: 512 });
  const { documents } = await load(dataset, model);
  assert.equal(documents.length, 240);
  assert.equal(documents.flat().length - documents.length, 101_175);
});
