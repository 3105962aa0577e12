// Whole runs of GGUFModifier with the importance of a file: the bytes of importance that was calibrated here, no calibration, what the file leaves out, and a file that changes.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { readGgufHeader } from '../../../schemas/src/model/gguf-header.js';
import { ggufName } from '../../../schemas/src/model/gguf-names.js';
import { readImatrix } from '../../../schemas/src/model/imatrix.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { analyze } from '../../../worker/src/analyze/analyze.js';
import type { Device, Tensor } from '../../../worker/src/tensor/tensor.js';
import { writeDocuments, writeGgufModel } from '../../support/gguf-models.js';
import { ggufImatrix, legacyImatrix, type ImatrixSums } from '../../support/imatrix-files.js';
import { withDevice } from '../../support/native-device.js';
import { seededRandom } from '../../support/random.js';
import { inTemporaryFolder, resolvePlan, runPlan, runToCompletion } from '../../support/worker-run.js';

type Entries = Record<string, ImatrixSums>;

async function planIn(dir: string, fields: string, name: string): Promise<QuantizationPlan> {
  const dataset = path.join(dir, 'rows.jsonl');
  const model = path.join(dir, 'model');
  if (!readdirSync(dir).includes('model')) {
    writeDocuments(dataset, 6, 32);
    writeGgufModel(model, 'llama');
  }
  return resolvePlan({
    recipe: `q_stage:\n  q_modifiers:\n    GGUFModifier: {${fields}}\n`,
    model,
    output: path.join(dir, name),
    ...(fields.includes('importance') ? { calibration: { dataset, num_calibration_samples: 6, max_seq_length: 32 } } : {}),
  });
}

const bytesOf = ({ output: { dir } }: QuantizationPlan): Buffer =>
  readFileSync(path.join(dir, readdirSync(dir).find((name) => name.endsWith('.gguf')) ?? ''));

const nameOf = (plan: QuantizationPlan, layer: string): string => ggufName(`${layer}.weight`, plan.model.architecture!) ?? '';

/** The importance that a run with calibration gives to the search, layer by layer. */
async function calibrated(plan: QuantizationPlan): Promise<Entries> {
  const seen: Promise<Float32Array>[] = [];
  const watch = (device: Device): void => {
    const enqueue = device.enqueue.bind(device);
    device.enqueue = (operation, inputs: readonly (Tensor | null)[], options) => {
      if (operation === 'gguf_encode' && inputs[1]) seen.push(inputs[1].readFloats());
      return enqueue(operation, inputs, options);
    };
  };
  const { report } = await runToCompletion(plan, { seeDevice: watch });
  const weighed = report.layers.filter(({ name }) => name !== plan.model.architecture?.embed_tokens);
  const sums = await Promise.all(seen);
  assert.equal(sums.length, weighed.length);
  return Object.fromEntries(weighed.map(({ name }, i) => [nameOf(plan, name), { sums: sums[i]!, count: 1 }]));
}

test('the sums that calibration found, in a file of either form, give the bytes of that run, without calibration', () =>
  inTemporaryFolder(async (dir) => {
    const own = await planIn(dir, 'type: Q3_K_M, importance: true', 'own');
    const entries = await calibrated(own);
    assert.equal(Object.keys(entries).length, 15);
    // Four times as much, seen four times: powers of two change no bit.
    const larger = Object.fromEntries(
      Object.entries(entries).map(([name, { sums }]) => [name, { sums: Float32Array.from(sums, (sum) => 4 * sum), count: 4 }]),
    );
    for (const [name, bytes] of Object.entries({
      'imatrix.gguf': ggufImatrix(larger),
      'imatrix.dat': legacyImatrix(larger),
    })) {
      writeFileSync(path.join(dir, name), bytes);
      const plan = await planIn(dir, `type: Q3_K_M, imatrix: ${name}`, `by-${name}`);
      assert.equal(plan.calibration, null);
      const { report } = await runToCompletion(plan);
      assert.deepEqual(report.problems, []);
      assert.ok(bytesOf(plan).equals(bytesOf(own)), name);
      const lock = JSON.parse(readFileSync(`${plan.output.dir}.run/lock.json`, 'utf8')) as { inputs: { name: string }[] };
      assert.ok(lock.inputs.some((input) => input.name === path.join(dir, name)));
    }
    const plain = await planIn(dir, 'type: Q3_K_M', 'plain');
    await runToCompletion(plain);
    assert.ok(!bytesOf(plain).equals(bytesOf(own)));
  }));

test('a run with importance leaves it in imatrix.gguf: our reader finds the sums of its report, and a run by that file writes the same bytes', () =>
  inTemporaryFolder(async (dir) => {
    const own = await planIn(dir, 'type: Q3_K_M, importance: true', 'own');
    const { report } = await runToCompletion(own);
    const file = path.join(dir, 'own.run', 'imatrix.gguf');
    const found = await readImatrix(nodeFiles, file, file);
    const weighed = report.layers.filter(({ importance }) => importance);
    assert.equal(weighed.length, 15);
    assert.deepEqual([...found.keys()].sort(), weighed.map(({ name }) => nameOf(own, name)).sort());
    const bytes = readFileSync(file);
    for (const { name, columns, importance } of weighed) {
      const entry = found.get(nameOf(own, name))!;
      const { sums, rows, tokens } = importance!;
      assert.deepEqual([entry.columns, entry.count, rows, tokens], [columns, 6 * 32, 6, 6 * 32]);
      const arrays = readFileSync(path.join(dir, 'own.run', sums.file));
      assert.ok(
        bytes.subarray(entry.offset, entry.offset + 4 * columns).equals(arrays.subarray(sums.offset, sums.offset + 4 * columns)),
        name,
      );
    }
    const { metadata } = await readGgufHeader(nodeFiles, file, file);
    assert.deepEqual(
      ['general.type', 'imatrix.datasets', 'imatrix.chunk_count', 'imatrix.chunk_size'].map(
        (wanted) => metadata.find(({ key }) => key === wanted)?.value,
      ),
      ['imatrix', { type: 'string', length: 1, first: ['rows.jsonl'] }, 6, 32],
    );
    const by = await planIn(dir, 'type: Q3_K_M, imatrix: own.run/imatrix.gguf', 'by');
    assert.equal(by.calibration, null);
    assert.deepEqual((await runToCompletion(by)).report.problems, []);
    assert.ok(bytesOf(by).equals(bytesOf(own)));
    assert.ok(!existsSync(path.join(dir, 'by.run', 'imatrix.gguf')));
    // Into the same folder: the file that is read stays, and one that is not goes.
    for (const [fields, isThere] of [
      ['type: Q3_K_M, imatrix: own.run/imatrix.gguf', true],
      ['type: Q3_K_M', false],
    ] as const) {
      await runToCompletion(await planIn(dir, fields, 'own'));
      assert.equal(existsSync(file), isThere, fields);
    }
  }));

test('an analysis of integers leaves one of the model as it is, the same where it was interrupted, and a run takes it', () =>
  inTemporaryFolder(async (dir) => {
    await planIn(dir, 'type: Q4_0', 'plain');
    const weights = 'weights: {num_bits: 4, strategy: channel}';
    const plan = await resolvePlan({
      recipe: `q_stage:\n  q_modifiers:\n    GPTQModifier: {config_groups: {g: {targets: [Linear], ${weights}}}}\n`,
      model: path.join(dir, 'model'),
      output: path.join(dir, 'integers'),
      calibration: { dataset: path.join(dir, 'rows.jsonl'), num_calibration_samples: 6, max_seq_length: 32 },
    });
    const file = path.join(dir, 'integers.analysis', 'imatrix.gguf');
    const analyzed = async (stopAt = Infinity): Promise<Buffer> => {
      let asked = 0;
      const throwIfCancelled = (): void => assert.ok(asked++ < stopAt, 'stop');
      const watch = { onProgress: () => undefined, throwIfCancelled };
      const input = { plan, bits: [4], endToEnd: false, fisher: false, keepWeights: false, kind: 'cpu', version: 'test', watch } as const;
      await withDevice((device) => analyze({ ...input, device }), 2);
      return readFileSync(file);
    };
    await assert.rejects(analyzed(20), /stop/);
    const resumed = await analyzed();
    const { layers } = JSON.parse(readFileSync(path.join(dir, 'integers.analysis', 'sensitivity.json'), 'utf8')) as SensitivityAnalysis;
    rmSync(path.join(dir, 'integers.analysis'), { recursive: true });
    assert.ok((await analyzed()).equals(resumed));
    const found = await readImatrix(nodeFiles, file, file);
    assert.equal(found.size, 15);
    for (const { name, columns, hessian_mean_diagonal } of layers) {
      const entry = found.get(nameOf(plan, name))!;
      assert.deepEqual([entry.columns, entry.count], [columns, 6 * 32]);
      // The mean of diag(H), which is 2/n Σ x² over n rows.
      const mean = (2 * entry.sum) / 6 / columns;
      assert.ok(Math.abs(mean - hessian_mean_diagonal!) <= 1e-6 * mean, `${name}: ${mean}, not ${hessian_mean_diagonal}`);
    }
    const { report } = await runToCompletion(await planIn(dir, 'type: Q3_K_M, imatrix: integers.analysis/imatrix.gguf', 'by'));
    assert.deepEqual(report.problems, []);
  }));

test('an interrupted run with importance writes the imatrix.gguf of an unbroken one; several devices add up the same tokens', () =>
  inTemporaryFolder(async (dir) => {
    const whole = await planIn(dir, 'type: Q4_0, importance: true', 'whole');
    await runToCompletion(whole);
    const broken = await planIn(dir, 'type: Q4_0, importance: true', 'broken');
    let left = 12;
    const { ended } = await runPlan(broken, {
      onEvent: (event, context) => {
        if (event.kind === 'layer-finished' && --left === 0) context.cancel();
      },
    });
    assert.equal(ended.outcome, 'cancelled');
    await runToCompletion(broken);
    const imatrix = (name: string): Buffer => readFileSync(path.join(dir, `${name}.run`, 'imatrix.gguf'));
    assert.ok(imatrix('broken').equals(imatrix('whole')));
    await runToCompletion(await planIn(dir, 'type: Q4_0, importance: true', 'two'), { devices: 2 });
    const entries = async (name: string) => {
      const file = path.join(dir, `${name}.run`, 'imatrix.gguf');
      return [...(await readImatrix(nodeFiles, file, file))];
    };
    const one = new Map(await entries('whole'));
    for (const [name, { count, sum }] of await entries('two')) {
      assert.equal(count, one.get(name)?.count);
      // Added in another order; behind the first block the weights that were chosen may differ, too.
      assert.ok(Math.abs(sum - one.get(name)!.sum) <= 1e-3 * sum, `${name}: ${sum}, not ${one.get(name)?.sum}`);
    }
  }));

/** Every layer of the model has an entry with random sums. */
function entriesOf(plan: QuantizationPlan, except: string[] = []): Entries {
  const random = seededRandom(3);
  const layers = plan.layers.filter(({ kind, name }) => kind !== 'Embedding' && !except.includes(name));
  return Object.fromEntries(
    layers.map(({ name, columns }) => [nameOf(plan, name), { sums: Array.from({ length: columns }, () => random.below(1000)), count: 7 }]),
  );
}

test('imatrix-without-importance: the report names the layers that the file has nothing for', () =>
  inTemporaryFolder(async (dir) => {
    const left = 'model.layers.1.mlp.up_proj';
    const entries = entriesOf(await planIn(dir, 'type: Q4_K_M', 'plain'), ['lm_head', left]);
    writeFileSync(path.join(dir, 'partial.gguf'), ggufImatrix(entries));
    const { report } = await runToCompletion(await planIn(dir, 'type: Q4_K_M, imatrix: partial.gguf', 'out'));
    assert.deepEqual(
      report.problems.map(({ code, severity, layer }) => [code, severity, layer]),
      [
        ['imatrix-without-importance', 'warning', left],
        ['imatrix-without-importance', 'information', 'lm_head'],
      ],
    );
    assert.match(report.problems[0]?.message ?? '', /weigh alike although imatrix is given: \S+partial\.gguf has nothing for it\.$/);
  }));

test('a file that changes behind the plan ends the run, whether it is cut, other, or gone', () =>
  inTemporaryFolder(async (dir) => {
    const file = path.join(dir, 'imatrix.gguf');
    const entries = entriesOf(await planIn(dir, 'type: Q4_0', 'plain'));
    writeFileSync(file, ggufImatrix(entries));
    const plan = await planIn(dir, 'type: Q4_0, imatrix: imatrix.gguf', 'out');
    const changed = { ...entries, 'blk.0.ffn_down.weight': { sums: Array.from({ length: 512 }, () => 1), count: 7 } };
    for (const bytes of [ggufImatrix(changed), Buffer.alloc(0)]) {
      writeFileSync(file, bytes);
      const { ended } = await runPlan(plan);
      assert.equal(ended.failure?.code, 'model-file-changed');
      assert.match(ended.failure.message, /imatrix\.gguf .* what it says of model\.layers\.0\.mlp\.down_proj has changed/);
    }
    rmSync(file);
    const { ended } = await runPlan(plan);
    assert.equal(ended.failure?.code, 'file-unreadable');
    writeFileSync(file, ggufImatrix(entries));
    await runToCompletion(plan);
  }));
