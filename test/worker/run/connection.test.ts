// The worker as a host meets it: handshake, devices, refusals, evaluation, inspection, and its end with the host.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import {
  createMessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
  CancellationTokenSource,
} from 'vscode-jsonrpc/node';
import type { DatasetPlan } from '../../../schemas/src/generated/plan.js';
import {
  devicesRequest,
  evaluateProgressNotification,
  evaluateRequest,
  initializeRequest,
  inspectTensorRequest,
  MOST_THREADS,
  runRequest,
  type DeviceDescription,
  type EvaluateParams,
  type EvaluateProgressParams,
  type EvaluateResult,
  type InitializeParams,
  type InitializeResult,
  type InspectTensorParams,
  type InspectTensorResult,
  type TensorChannel,
  type RunResult,
} from '../../../schemas/src/protocol/client-worker.js';
import { PROTOCOL_VERSION } from '../../../schemas/src/protocol/version.js';
import { describedModel } from '../../support/forward-pass.js';
import { sharedPath, skipWithoutShared } from '../../support/shared.js';
import { writeTinyLlama } from '../../support/tiny-llama-folder.js';
import { inTemporaryFolder, resolvePlan, startWorker, workerMain, type WorkerProcess } from '../../support/worker-run.js';

const skip = skipWithoutShared;
const rtn =
  'quant_stage:\n  quant_modifiers:\n    QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, type: int, strategy: channel}}}}\n';

async function withWorker(work: (worker: WorkerProcess) => Promise<void>): Promise<void> {
  const worker = await startWorker();
  try {
    await work(worker);
  } finally {
    worker.child.stdin?.end();
    assert.equal((await worker.exited).code, 0, 'the worker ends when its host closes the pipe');
    worker.connection.dispose();
  }
}

test('handshake: the answer names protocol, native ABI and devices; another protocol is refused', async () => {
  const child = spawn(process.execPath, [workerMain], { stdio: ['pipe', 'pipe', 'ignore'] });
  const connection = createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin));
  connection.listen();
  const shake = (protocol: number): Promise<InitializeResult> => {
    const params: InitializeParams = { protocol, host: 'tests', threads: 1 };
    return connection.sendRequest<InitializeResult>(initializeRequest, params);
  };
  await assert.rejects(
    shake(PROTOCOL_VERSION + 1),
    (error) => error instanceof ResponseError && /speaks protocol 2, the worker 1/.test(error.message),
  );
  const answer = await shake(PROTOCOL_VERSION);
  assert.equal(answer.protocol, PROTOCOL_VERSION);
  assert.equal(answer.native_abi, 2);
  assert.ok(answer.devices.some(({ kind, usable }) => kind === 'cpu' && usable));
  const devices = await connection.sendRequest<DeviceDescription[]>(devicesRequest, {});
  assert.deepEqual(devices, answer.devices);
  for (const { usable, reason } of devices) assert.equal(reason === null, usable, 'what cannot be used says why');
  child.stdin.end();
  await new Promise((resolve) => child.once('exit', resolve));
  connection.dispose();
});

test('a plan that is none, a device that is not there, a second run at once: each is refused in a sentence', () =>
  withWorker((worker) =>
    inTemporaryFolder(async (dir) => {
      const model = path.join(dir, 'model');
      writeTinyLlama(model, 'random');
      const run = (plan: unknown): Promise<RunResult> => worker.connection.sendRequest<RunResult>(runRequest, { plan });
      const refusal = async (plan: unknown): Promise<string> => {
        const answer = await run(plan);
        assert.ok('failure' in answer);
        return `${answer.failure.code}: ${answer.failure.message}`;
      };
      const plan = await resolvePlan({ recipe: rtn, model, output: path.join(dir, 'out') });
      assert.match(await refusal({ ...plan, plan_version: 2 }), /^plan-invalid: .*plan_version/);
      assert.match(await refusal({ ...plan, device: 'cuda' }), /^device-unavailable: The device cuda cannot be used/);
      for (const threads of [MOST_THREADS + 1, 100_000, 2 ** 32 + 1])
        assert.match(
          await refusal({ ...plan, threads }),
          /^threads-refused: The CPU cannot be used with \d+ threads: more than 512 .*Lower threads/,
        );
      const first = await run(plan);
      assert.ok('run_id' in first);
      assert.match(await refusal(plan), /^run-already-active: /);
      await worker.waitFor((event) => event.kind === 'run-ended' && event.run_id === first.run_id);
      assert.deepEqual(
        worker.events.map((event) => event.run_id).filter((id) => id !== first.run_id),
        [],
      );
    }),
  ));

const validation = (num_calibration_samples: number | null): DatasetPlan => ({
  dataset: sharedPath('data', 'text', 'tinystories-validation.jsonl'),
  text_column: 'text',
  num_calibration_samples,
  max_seq_length: 512,
  shuffle: false,
  seed: 0,
  sha256: null,
  bytes: statSync(sharedPath('data', 'text', 'tinystories-validation.jsonl')).size,
});

test('evaluate answers perplexity with progress, can be cancelled, and says when a file is missing', { skip }, () =>
  withWorker(async (worker) => {
    const model = await describedModel(sharedPath('data', 'models', 'stories260K'));
    const fractions: number[] = [];
    worker.connection.onNotification(evaluateProgressNotification, ({ fraction }: EvaluateProgressParams) => void fractions.push(fraction));
    const evaluate = (dataset: DatasetPlan, source?: CancellationTokenSource): Promise<EvaluateResult> => {
      const params: EvaluateParams = { model, dataset, device: 'auto', adapter: true };
      return worker.connection.sendRequest<EvaluateResult>(evaluateRequest, params, ...(source ? [source.token] : []));
    };
    const source = new CancellationTokenSource();
    const cancelled = evaluate(validation(null), source);
    setTimeout(() => source.cancel(), 700);
    await assert.rejects(
      cancelled.then((answer) => assert.fail(JSON.stringify(answer))),
      (error) => error instanceof ResponseError && error.code === -32800,
    );
    fractions.length = 0;
    const answer = await evaluate(validation(20));
    assert.ok('perplexity' in answer, 'failure' in answer ? answer.failure.message : '');
    assert.equal(answer.perplexity.documents, 20);
    assert.ok(Math.abs(answer.perplexity.perplexity - Math.exp(answer.perplexity.nll / answer.perplexity.tokens)) < 1e-9);
    assert.ok(fractions.length > 0 && fractions.every((fraction, i) => fraction >= (fractions[i - 1] ?? 0)) && fractions.at(-1) === 1);
    const missing = await evaluate({ ...validation(1), dataset: '/nowhere/rows.jsonl' });
    assert.ok('failure' in missing && missing.failure.code === 'file-unreadable' && missing.failure.place === '/nowhere/rows.jsonl');
  }),
);

test('inspectTensor: statistics of a tensor, of a module by name, of a quantized module as readers compute it', { skip }, () =>
  withWorker(async (worker) => {
    const inspect = async (dir: string, name: string, channel?: TensorChannel): Promise<InspectTensorResult> => {
      const model = await describedModel(sharedPath('golden', 'compressed-tensors', dir));
      const params: InspectTensorParams = { model, name, ...(channel ? { channel } : {}) };
      return worker.connection.sendRequest<InspectTensorResult>(inspectTensorRequest, params);
    };
    const name = 'model.layers.0.self_attn.q_proj';
    const dense = await inspect('base-llama', name);
    assert.ok('statistics' in dense);
    assert.deepEqual(dense.statistics.shape, [128, 128]);
    assert.equal(
      dense.statistics.histogram.counts.reduce((sum, count) => sum + count, 0),
      128 * 128,
    );
    assert.equal(dense.statistics.absmax, Math.max(-dense.statistics.min, dense.statistics.max));
    const quantized = await inspect('rtn-W4A16', name);
    assert.ok('statistics' in quantized);
    assert.deepEqual(quantized.statistics.shape, [128, 128]);
    assert.ok(Math.abs(quantized.statistics.std / dense.statistics.std - 1) < 0.05);
    // A row of a quantized module, with the grid that it uses: one group of 4 bits.
    const row = await inspect('rtn-W4A16', name, { axis: 'row', index: 5 });
    assert.ok('statistics' in row && row.statistics.levels !== undefined);
    assert.deepEqual(row.statistics.shape, [128]);
    assert.ok(row.statistics.levels.length > 4 && row.statistics.levels.length <= 16, String(row.statistics.levels.length));
    assert.deepEqual([row.statistics.levels[0], row.statistics.levels.at(-1)], [row.statistics.min, row.statistics.max]);
    const before = await inspect('base-llama', name, { axis: 'row', index: 5 });
    assert.ok('statistics' in before && before.statistics.levels === undefined && before.statistics.count === 128);
    const beyond = await inspect('base-llama', name, { axis: 'column', index: 128 });
    assert.ok('failure' in beyond && beyond.failure.code === 'channel-missing');
    assert.match(beyond.failure.message, /no such channel: its columns go from 0 to 127, and 128 was asked for/);
    const missing = await inspect('base-llama', 'model.layers.9.mlp');
    assert.ok('failure' in missing && /no tensor and no module named model\.layers\.9\.mlp/.test(missing.failure.message));
  }),
);

test('a host that is killed takes the worker along', async () => {
  const script = `const {spawn} = require('child_process'); const child = spawn(process.execPath, [${JSON.stringify(workerMain)}], {stdio: ['pipe', 'ignore', 'ignore']}); console.log(child.pid); setInterval(() => undefined, 1000);`;
  const host = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = Number(await new Promise<string>((resolve) => host.stdout.once('data', (text: Buffer) => resolve(text.toString()))));
  host.kill('SIGKILL');
  const isAlive = (): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
      return false;
    }
  };
  const deadline = performance.now() + 30_000;
  while (isAlive() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(!isAlive(), 'the worker is gone');
});
