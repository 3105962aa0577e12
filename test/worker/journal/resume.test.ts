// A run killed at any moment resumes to the same bytes; what a kill or a disk spoiled is found and done again.
import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync, cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readUnfinishedRun } from '../../../client/src/unfinished-runs.js';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { runRequest, type RunParams, type RunResult } from '../../../schemas/src/protocol/client-worker.js';
import type { RunEvent } from '../../../schemas/src/run-event.js';
import { RUNNING_FILE } from '../../../schemas/src/unfinished-run.js';
import { negateWeights } from '../../support/negate-weights.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { inTemporaryFolder, resolvePlan, runPlan, runToCompletion, startWorker, type EventOf } from '../../support/worker-run.js';

const skip = skipWithoutShared;
const recipe = `quant_stage:
  quant_modifiers:
    SmoothQuantModifier: {smoothing_strength: 0.8}
    GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: channel, symmetric: true},
      input_activations: {num_bits: 8, type: int, strategy: tensor, symmetric: false, dynamic: false, observer: static_minmax}}}}
`;

const awqRecipe = `quant_stage:
  quant_modifiers:
    AWQModifier: {n_grid: 4}
    QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: group, group_size: 4}}}}
`;

const pairsRecipe = `quant_stage:
  quant_modifiers:
    SmoothQuantModifier: {smoothing_strength: 0.8}
    QronosModifier: {targets: ['re:.*self_attn.*'], config_groups: {g: {targets: ['re:.*self_attn.*'], weights: {num_bits: 3, type: int, strategy: channel}}}}
    GPFQModifier: {targets: ['re:.*mlp.*'], config_groups: {g: {targets: ['re:.*mlp.*'], weights: {num_bits: 3, type: int, strategy: channel}}}}
`;

const stories = (output: string, text = recipe): Promise<QuantizationPlan> =>
  resolvePlan({
    recipe: text,
    model: sharedPath('data', 'models', 'stories260K'),
    output,
    calibration: { dataset: sharedPath('data', 'text', 'tinystories-calibration.jsonl'), num_calibration_samples: 24, max_seq_length: 256 },
  });

const weightsOf = (output: string): Buffer => readFileSync(path.join(output, 'model.safetensors'));
const began = (events: readonly RunEvent[]): EventOf<'run-began'> =>
  events.find((event) => event.kind === 'run-began') as EventOf<'run-began'>;

for (const [method, text] of [
  ['GPTQ over SmoothQuant', recipe],
  ['a rotation, SmoothQuant and GPTQ', recipe.replace('    SmoothQuantModifier', '    HadamardModifier: {}\n    SmoothQuantModifier')],
  ['AWQ', awqRecipe],
  ['Qronos and GPFQ, which compare with the unquantized model', pairsRecipe],
] as const)
  test(`${method}: kill -9 in the middle, then the same plan again: the bytes of an unbroken run`, { skip }, () =>
    inTemporaryFolder(async (dir) => {
      const whole = path.join(dir, 'whole');
      const unbroken = await runToCompletion(await stories(whole, text));

      const output = path.join(dir, 'killed');
      const plan = await stories(output, text);
      const worker = await startWorker();
      const params: RunParams = { plan };
      const answer = await worker.connection.sendRequest<RunResult>(runRequest, params);
      assert.ok('run_id' in answer);
      await worker.waitFor((event) => event.kind === 'stage-began' && event.stage === 'quantize' && event.block === 2);
      worker.child.kill('SIGKILL');
      assert.equal((await worker.exited).signal, 'SIGKILL');
      worker.connection.dispose();
      assert.ok(!existsSync(output), 'nothing appears as if whole');
      // What it was and how far it came is known of it.
      const mark = path.join(`${output}.run`, RUNNING_FILE);
      const unfinished = await readUnfinishedRun(mark);
      assert.deepEqual([unfinished?.isRunning, (unfinished?.n_finished ?? 0) >= 2, unfinished?.n_units], [false, true, 5]);

      const resumed = await runToCompletion(plan);
      assert.ok(began(resumed.events).resumed_blocks >= 2, 'the finished blocks are not done again');
      assert.ok(weightsOf(output).equals(weightsOf(whole)));
      assert.ok(!existsSync(mark), 'a run that has ended is none that was interrupted');
      const withoutTimes = (layers: (typeof resumed.report)['layers']): unknown => layers.map(({ seconds: _seconds, ...layer }) => layer);
      assert.deepEqual(withoutTimes(resumed.report.layers), withoutTimes(unbroken.report.layers));
      assert.ok((unbroken.report.transforms?.length ?? 0) >= 10);
      assert.deepEqual(resumed.report.transforms, unbroken.report.transforms);
      for (const { histogram } of resumed.report.layers) assert.ok(existsSync(path.join(`${output}.run`, histogram!.file)));
    }),
  );

/** A run folder with all five blocks finished but no checkpoint, as a kill while writing it leaves behind. */
async function finishedBlocks(plan: QuantizationPlan): Promise<void> {
  const { ended } = await runPlan(plan, {
    onEvent: (event, context) => {
      if (event.kind === 'stage-began' && event.stage === 'write' && event.block === null) context.cancel();
    },
  });
  assert.equal(ended.outcome, 'cancelled');
}

test('a torn last line and a spoiled shard: the units before them count, the rest is done again', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const whole = path.join(dir, 'whole');
    await runToCompletion(await stories(whole));
    const output = path.join(dir, 'out');
    const plan = await stories(output);
    await finishedBlocks(plan);
    const runDir = `${output}.run`;
    cpSync(runDir, path.join(dir, 'kept'), { recursive: true });

    const journal = path.join(runDir, 'journal.jsonl');
    const lines = readFileSync(journal, 'utf8').trimEnd().split('\n');
    assert.equal(lines.length, 5);
    writeFileSync(journal, `${lines.slice(0, 3).join('\n')}\n`);
    appendFileSync(journal, lines[3]!.slice(0, 100));
    const torn = await runToCompletion(plan);
    assert.equal(began(torn.events).resumed_blocks, 3);
    assert.ok(weightsOf(output).equals(weightsOf(whole)));

    rmSync(output, { recursive: true });
    rmSync(runDir, { recursive: true });
    cpSync(path.join(dir, 'kept'), runDir, { recursive: true });
    const shard = path.join(runDir, 'blocks', '001.safetensors');
    const bytes = readFileSync(shard);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(shard, bytes);
    const spoiled = await runToCompletion(plan);
    assert.equal(began(spoiled.events).resumed_blocks, 1);
    assert.ok(weightsOf(output).equals(weightsOf(whole)));
  }),
);

test('another plan in the same run folder begins anew', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const output = path.join(dir, 'out');
    const plan = await stories(output);
    await finishedBlocks(plan);
    const other = {
      ...plan,
      layers: plan.layers.map((layer) => (layer.quantizer ? { ...layer, quantizer: { ...layer.quantizer, dampening_frac: 0.1 } } : layer)),
    };
    const { events } = await runToCompletion(other);
    assert.equal(began(events).resumed_blocks, 0);
  }),
);

const begunAnew = (events: readonly RunEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'problem' && event.problem.code === 'run-begun-anew' ? [event.problem.message] : []));

test('other weights or another tokenizer under the same plan: the run begins anew, and names the file', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const [model, tuned] = [path.join(dir, 'model'), path.join(dir, 'tuned')];
    for (const folder of [model, tuned]) cpSync(sharedPath('data', 'models', 'stories260K'), folder, { recursive: true });
    negateWeights(path.join(tuned, 'model.safetensors'));
    const calibration = {
      dataset: sharedPath('data', 'text', 'tinystories-calibration.jsonl'),
      num_calibration_samples: 8,
      max_seq_length: 64,
    };
    const [output, fresh] = [path.join(dir, 'out'), path.join(dir, 'fresh')];
    const planFor = (folder: string, out: string): Promise<QuantizationPlan> =>
      resolvePlan({ recipe, model: folder, output: out, calibration });
    const mustBeginAnew = async (folder: string, file: string): Promise<void> => {
      await runToCompletion(await planFor(folder, fresh));
      const { events } = await runToCompletion(await planFor(folder, output));
      assert.equal(began(events).resumed_blocks, 0);
      assert.ok(weightsOf(output).equals(weightsOf(fresh)));
      assert.deepEqual(begunAnew(events), [
        `The run begins anew, and 5 finished blocks and layers in ${output}.run are lost, because they were not computed from ${path.join(folder, file)} as it is now. A run goes on where it was with the model, the devices and the version that it began with.`,
      ]);
      for (const out of [fresh, output]) for (const made of [out, `${out}.run`]) rmSync(made, { recursive: true });
    };

    await finishedBlocks(await planFor(model, output));
    await mustBeginAnew(tuned, 'model.safetensors');

    await finishedBlocks(await planFor(model, output));
    negateWeights(path.join(model, 'model.safetensors'));
    await mustBeginAnew(model, 'model.safetensors');

    await finishedBlocks(await planFor(model, output));
    appendFileSync(path.join(model, 'tokenizer.json'), '\n');
    await mustBeginAnew(model, 'tokenizer.json');
  }),
);

test('threads, evaluation and shard size belong to no block: a run may continue with others', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const output = path.join(dir, 'out');
    const plan = await stories(output);
    await finishedBlocks(plan);
    copyFileSync(path.join(`${output}.run`, 'run.json'), path.join(dir, 'run.json'));
    const { events } = await runToCompletion({ ...plan, threads: 1, output: { ...plan.output, max_shard_bytes: 100_000 } }, { threads: 1 });
    assert.equal(began(events).resumed_blocks, 5);
    assert.ok(readdirSync(output).includes('model.safetensors.index.json'));
  }),
);
