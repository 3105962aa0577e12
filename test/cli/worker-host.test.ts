// The worker host against workers that die, lie and obey: what the callers hear.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { startWorker, type WorkerExit, type WorkerHost } from '../../client/src/worker-host.js';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import type { EvaluateParams } from '../../schemas/src/protocol/client-worker.js';
import type { RunEvent } from '../../schemas/src/run-event.js';
import { RunFailureError } from '../../schemas/src/run-failure.js';

interface Started {
  start: Promise<WorkerHost>;
  events: RunEvent[];
  log: string[];
  exit: Promise<WorkerExit>;
}

function start(behaviour: string, workerPath = path.join(__dirname, '..', 'support', 'scripted-worker.js')): Started {
  const events: RunEvent[] = [];
  const log: string[] = [];
  let exited: (exit: WorkerExit) => void = () => undefined;
  const exit = new Promise<WorkerExit>((resolve) => (exited = resolve));
  const options = { workerPath, execPath: process.execPath, env: { ...process.env, SCRIPTED_WORKER: behaviour }, host: 'test', threads: 1 };
  const handlers = { onEvent: (event: RunEvent) => events.push(event), onLog: (line: string) => log.push(line), onExit: exited };
  return { start: startWorker({ ...options, ...handlers }), events, log, exit };
}

const plan = {} as QuantizationPlan;

const failsWith =
  (code: string, ...parts: RegExp[]) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof RunFailureError, String(error));
    assert.equal(error.failure.code, code);
    for (const part of parts) assert.match(error.failure.message, part);
    return true;
  };

test('a run that is cancelled ends with its own event, and dispose is no failure', async () => {
  const { start: starting, events, exit } = start('well');
  const worker = await starting;
  assert.deepEqual(await worker.run(plan), { run_id: 'r1', run_dir: '' });
  await worker.cancel('r1');
  await worker.dispose();
  assert.equal((await exit).failure, null);
  assert.deepEqual(
    events.filter((event) => event.kind === 'run-ended').map((event) => event.outcome),
    ['cancelled'],
  );
});

test('a worker killed in a run: the run ends as failed, with the signal and the last log lines', async () => {
  const { start: starting, events, exit } = start('die-in-run');
  const worker = await starting;
  await worker.run(plan);
  const { failure, signal } = await exit;
  assert.equal(signal, 'SIGKILL');
  assert.match(failure?.message ?? '', /SIGKILL/);
  assert.match(failure?.message ?? '', /block 0\nout of luck/);
  const last = events.at(-1);
  assert.ok(last?.kind === 'run-ended' && last.outcome === 'failed' && last.failure?.code === 'worker-died');
  await assert.rejects(worker.devices(), failsWith('worker-died', /SIGKILL/));
});

test('a worker that dies while it starts rejects with its exit code and log', async () => {
  const { start: starting } = start('die-at-start');
  await assert.rejects(starting, failsWith('worker-died', /exit code 3/, /the native core is missing/));
});

test('a worker program that does not exist', async () => {
  const { start: starting } = start('well', path.join(__dirname, 'no-such-worker.js'));
  await assert.rejects(starting, failsWith('worker-died', /exit code 1/, /no-such-worker/));
});

test('another protocol is refused, by either side, with both numbers', async () => {
  for (const behaviour of ['other-protocol', 'refuse-protocol']) {
    const { start: starting, exit } = start(behaviour);
    await assert.rejects(starting, failsWith('protocol-mismatch', /\b1\b.*\b2\b/));
    await exit;
  }
});

test('a worker that closes its output is ended and reported', async () => {
  const { start: starting, exit } = start('close-stdout');
  const worker = await starting;
  await assert.rejects(worker.devices(), failsWith('worker-died'));
  await exit;
});

test('an aborted evaluation answers as cancelled', async () => {
  const { start: starting } = start('well');
  const worker = await starting;
  const abort = new AbortController();
  const result = worker.evaluate({} as EvaluateParams, { signal: abort.signal });
  abort.abort();
  assert.deepEqual(await result, { cancelled: true });
  await worker.dispose();
});
