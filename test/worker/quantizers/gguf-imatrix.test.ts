// Whole runs of GGUFModifier with the importance of a file: the bytes of importance that was calibrated here, no calibration, what the file leaves out, and a file that changes.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { ggufName } from '../../../schemas/src/model/gguf-names.js';
import type { Device, Tensor } from '../../../worker/src/tensor/tensor.js';
import { writeDocuments, writeGgufModel } from '../../support/gguf-models.js';
import { ggufImatrix, legacyImatrix, type ImatrixSums } from '../../support/imatrix-files.js';
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
