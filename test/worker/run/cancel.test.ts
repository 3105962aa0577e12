// Cancelling: the run ends soon, says so, keeps its finished blocks, and the device serves the next run.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import {
  cancelRequest,
  runRequest,
  type CancelParams,
  type RunParams,
  type RunResult,
} from '../../../schemas/src/protocol/client-worker.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import {
  inTemporaryFolder,
  readReport,
  resolvePlan,
  runPlan,
  runToCompletion,
  startWorker,
  type RunWish,
} from '../../support/worker-run.js';

const skip = skipWithoutShared;
const stories = (output: string, rows = 256): Promise<QuantizationPlan> =>
  resolvePlan({
    recipe:
      'quant_stage:\n  quant_modifiers:\n    GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: channel}}}}\n',
    model: sharedPath('data', 'models', 'stories260K'),
    output,
    calibration: {
      dataset: sharedPath('data', 'text', 'tinystories-calibration.jsonl'),
      num_calibration_samples: rows,
      max_seq_length: 512,
    },
    evaluate: { dataset: sharedPath('data', 'text', 'tinystories-validation.jsonl'), max_seq_length: 128 },
  });

test('the cancel request resolves when the run has ended; the same worker then finishes another run', { skip }, () =>
  inTemporaryFolder(async (dir) => {
    const output = path.join(dir, 'out');
    const worker = await startWorker();
    const start = async (plan: QuantizationPlan): Promise<string> => {
      const params: RunParams = { plan };
      const answer = await worker.connection.sendRequest<RunResult>(runRequest, params);
      assert.ok('run_id' in answer, 'failure' in answer ? answer.failure.message : '');
      return answer.run_id;
    };
    const run_id = await start(await stories(output));
    await worker.waitFor((event) => event.kind === 'progress' && event.message === 'calibrating block 1');
    const params: CancelParams = { run_id };
    const began = performance.now();
    await worker.connection.sendRequest(cancelRequest, params);
    assert.ok(performance.now() - began < 3000, 'within three seconds');
    const ended = worker.events.at(-1);
    assert.ok(ended?.kind === 'run-ended' && ended.outcome === 'cancelled' && ended.failure === null);
    assert.ok(!existsSync(output));
    const report = readReport(`${output}.run`);
    assert.equal(report.outcome, 'cancelled');
    assert.ok(report.layers.length >= 7, 'the report has what was finished');

    const second = await start(await stories(path.join(dir, 'second'), 8));
    const last = await worker.waitFor((event) => event.kind === 'run-ended' && event.run_id === second);
    assert.ok(last.kind === 'run-ended' && last.outcome === 'completed', JSON.stringify(last));
    worker.child.stdin?.end();
    assert.equal((await worker.exited).code, 0);
    worker.connection.dispose();
  }),
);

const moments: [string, (stage: string, block: number | null) => boolean][] = [
  ['before the first block', (stage) => stage === 'calibrate'],
  ['while quantizing', (stage, block) => stage === 'quantize' && block === 2],
  ['while passing rows on', (stage, block) => stage === 'forward' && block === 0],
  ['while writing the checkpoint', (stage, block) => stage === 'write' && block === null],
  ['while evaluating', (stage) => stage === 'evaluate'],
];

for (const [name, isMoment] of moments)
  test(`cancelled ${name}: the outcome is cancelled, no tensor stays, and the run can be finished`, { skip }, () =>
    inTemporaryFolder(async (dir) => {
      const output = path.join(dir, 'out');
      const plan = await stories(output, 16);
      const onEvent: RunWish['onEvent'] = (event, context) => {
        if (event.kind === 'stage-began' && isMoment(event.stage, event.block)) context.cancel();
      };
      const { ended, report } = await runPlan(plan, { onEvent });
      assert.equal(ended.outcome, 'cancelled');
      assert.equal(report?.outcome, 'cancelled');
      assert.equal(existsSync(output), name === 'while evaluating', 'only a whole checkpoint appears');
      await runToCompletion(plan);
    }),
  );
