// Runs of the worker for tests: recipe text → plan by the server's own resolution → a run in this process, or in a worker process of its own.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter, type MessageConnection } from 'vscode-jsonrpc/node';
import type { ModelTensor, QuantizationPlan } from '../../schemas/src/generated/plan.js';
import type { RunReport } from '../../schemas/src/generated/report.js';
import { describeModel } from '../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { readSafetensorsHeader } from '../../schemas/src/model/safetensors-header.js';
import { initializeRequest, runEventNotification, type InitializeParams } from '../../schemas/src/protocol/client-worker.js';
import { PROTOCOL_VERSION } from '../../schemas/src/protocol/version.js';
import type { RunEvent } from '../../schemas/src/run-event.js';
import { asReport } from '../../schemas/src/validate.js';
import { checkRecipe } from '../../server/src/checks/check-recipe.js';
import type { NativeDevice } from '../../worker/src/native-core.js';
import { factsOf } from '../../worker/src/open-devices.js';
import { RunContext } from '../../worker/src/run-context.js';
import { run } from '../../worker/src/run.js';
import type { Device } from '../../worker/src/tensor/tensor.js';
import { withDevices, withNatives } from './native-device.js';
import { repositoryRoot } from './shared.js';

/** A folder that is gone when the work is done. */
export async function inTemporaryFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'bitwright-run-'));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

export interface PlanWish {
  /** The modifiers part; `output`, `calibration` and `evaluate` are added from the fields below. */
  recipe: string;
  model: string;
  output: string;
  calibration?: Record<string, string | number | boolean>;
  evaluate?: Record<string, string | number>;
}

/** The plan as the server makes it; fails with the problems when there is none. */
export async function resolvePlan({ recipe, model, output, calibration, evaluate }: PlanWish): Promise<QuantizationPlan> {
  const parts = [recipe.trimEnd(), `model: ${JSON.stringify(model)}`, `output: {dir: ${JSON.stringify(output)}}`, 'device: cpu'];
  if (calibration) parts.push(`calibration: ${JSON.stringify(calibration)}`);
  if (evaluate) parts.push(`evaluate: {perplexity: ${JSON.stringify(evaluate)}}`);
  const { plan, problems } = await checkRecipe(`${parts.join('\n')}\n`, {
    recipePath: path.join(path.dirname(output), 'test.quant.yaml'),
    baseDir: path.dirname(output),
    files: nodeFiles,
    environment: {},
    describe: (dir) => describeModel(dir, nodeFiles),
  });
  assert.ok(plan, problems.map(({ code, message }) => `${code}: ${message}`).join('\n'));
  // As it crosses the process border: what a test changes in it is not the server's.
  return structuredClone(plan);
}

export type EventOf<K extends RunEvent['kind']> = Extract<RunEvent, { kind: K }>;

export interface FinishedRun {
  events: RunEvent[];
  ended: EventOf<'run-ended'>;
  /** Null when the run stopped before it had a run folder. */
  report: RunReport | null;
}

export interface RunWish {
  threads?: number;
  /** cuda: the emulated backend. */
  kind?: 'cpu' | 'cuda';
  /** CPU devices, as if there were several; or devices of another core. */
  devices?: number | readonly NativeDevice[];
  onEvent?: (event: RunEvent, context: RunContext) => void;
  /** Before the run: a test may put something in the place of its functions. */
  seeDevice?: (device: Device) => void;
}

/** A whole run in this process; afterwards no tensor may be alive. */
export function runPlan(
  plan: QuantizationPlan,
  { threads = 2, kind = 'cpu', devices: wanted = 1, onEvent, seeDevice }: RunWish = {},
): Promise<FinishedRun> {
  const onDevices = async (devices: readonly Device[]): Promise<FinishedRun> => {
    devices.forEach((device) => seeDevice?.(device));
    const events: RunEvent[] = [];
    const natives = devices.map(({ native }) => native);
    const infos = natives.map(({ kind, name }, index) => ({ ...deviceInfo, kind, index, name }));
    const context: RunContext = new RunContext(
      plan,
      devices,
      factsOf(infos, natives),
      `${plan.output.dir}.run`,
      // As the compiled worker process calls itself, so that a run may begin there and end here.
      'unbundled',
      (event) => {
        events.push(event);
        onEvent?.(event, context);
      },
      'run-1',
    );
    await run(context);
    return finishedRun(events);
  };
  return typeof wanted === 'number' ? withDevices(wanted, onDevices, threads, kind) : withNatives(wanted, onDevices);
}

const deviceInfo = { usable: true, reason: null, memory_bytes: null, compute_capability: null, details: {} };

function finishedRun(events: RunEvent[]): FinishedRun {
  const ended = events.at(-1);
  assert.ok(ended?.kind === 'run-ended', 'the last event is run-ended');
  assert.equal(events.filter((event) => event.kind === 'run-ended').length, 1);
  return { events, ended, report: ended.report_dir === null ? null : readReport(ended.report_dir) };
}

export async function runToCompletion(plan: QuantizationPlan, wish: RunWish = {}): Promise<FinishedRun & { report: RunReport }> {
  const finished = await runPlan(plan, wish);
  assert.equal(finished.ended.outcome, 'completed', finished.ended.failure?.message);
  assert.ok(finished.report);
  return { ...finished, report: finished.report };
}

export function readReport(runDir: string): RunReport {
  const answer = asReport(JSON.parse(readFileSync(path.join(runDir, 'report.json'), 'utf8')));
  assert.ok('report' in answer, 'error' in answer ? answer.error : '');
  return answer.report;
}

export interface StoredTensor {
  dtype: ModelTensor['dtype'];
  shape: number[];
  bytes: Buffer;
}

/** Tensors of one safetensors file by name. */
export async function readTensors(file: string): Promise<Map<string, StoredTensor>> {
  const { tensors } = await readSafetensorsHeader(nodeFiles, file, path.basename(file));
  const bytes = readFileSync(file);
  return new Map(
    tensors.map(({ name, dtype, shape, offset, bytes: length }) => [
      name,
      { dtype, shape, bytes: bytes.subarray(offset, offset + length) },
    ]),
  );
}

/** Values of an F32 tensor. */
export const floatsOf = ({ bytes }: StoredTensor): Float32Array => new Float32Array(new Uint8Array(bytes).buffer);

/** Same names, dtypes, shapes and bytes. */
export function assertSameTensors(actual: ReadonlyMap<string, StoredTensor>, expected: ReadonlyMap<string, StoredTensor>): void {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort());
  for (const [name, tensor] of expected) {
    const { dtype, shape, bytes } = actual.get(name)!;
    assert.deepEqual({ dtype, shape }, { dtype: tensor.dtype, shape: tensor.shape }, name);
    assert.ok(bytes.equals(tensor.bytes), `the bytes of ${name} differ`);
  }
}

export interface WorkerProcess {
  child: ChildProcess;
  connection: MessageConnection;
  events: RunEvent[];
  /** Resolves with the first event that fits. */
  waitFor(fits: (event: RunEvent) => boolean): Promise<RunEvent>;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export const workerMain = path.join(repositoryRoot, 'build', 'worker', 'src', 'main.js');

/** The worker as a host starts it, spoken to over stdio, handshake done. */
export async function startWorker(threads: number | null = 2): Promise<WorkerProcess> {
  const child = spawn(process.execPath, [workerMain], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  );
  const connection = createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin));
  const events: RunEvent[] = [];
  const waiting: { fits: (event: RunEvent) => boolean; resolve: (event: RunEvent) => void }[] = [];
  connection.onNotification(runEventNotification, (event: RunEvent) => {
    events.push(event);
    for (const one of waiting.splice(0)) {
      if (one.fits(event)) one.resolve(event);
      else waiting.push(one);
    }
  });
  connection.listen();
  const params: InitializeParams = { protocol: PROTOCOL_VERSION, host: 'tests', threads };
  await connection.sendRequest(initializeRequest, params);
  const waitFor = (fits: (event: RunEvent) => boolean): Promise<RunEvent> =>
    new Promise((resolve, reject) => {
      const known = events.find(fits);
      if (known) return resolve(known);
      waiting.push({ fits, resolve });
      void exited.then(({ code, signal }) => reject(new Error(`the worker ended (${code ?? signal}) before the event came`)));
    });
  return { child, connection, events, waitFor, exited };
}
