// JSON-RPC between a host and this worker: handshake, devices, run, cancel, evaluate, inspect. Nothing else travels on stdout.
import { randomUUID } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';
import {
  createMessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
  type CancellationToken,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import type { RunProblem, RunReport } from '../../schemas/src/generated/report.js';
import {
  cancelRequest,
  devicesRequest,
  evaluateProgressNotification,
  evaluateRequest,
  initializeRequest,
  inspectTensorRequest,
  NATIVE_CORE_UNAVAILABLE,
  runEventNotification,
  runRequest,
  type CancelParams,
  type DeviceDescription,
  type EvaluateParams,
  type EvaluateResult,
  type InitializeParams,
  type InitializeResult,
  type InspectTensorParams,
  type InspectTensorResult,
  type RunParams,
  type RunResult,
} from '../../schemas/src/protocol/client-worker.js';
import { PROTOCOL_VERSION } from '../../schemas/src/protocol/version.js';
import { runFailure, type RunFailureError } from '../../schemas/src/run-failure.js';
import { asPlan } from '../../schemas/src/validate.js';
import { loadWeights } from './checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader, verifyModelFiles } from './checkpoint/tensor-reader.js';
import { measurePerplexity } from './evaluate/perplexity.js';
import type { NativeCore, NativeDevice } from './native-core.js';
import { inspectedTensor, tensorStatistics } from './report/inspect-tensor.js';
import { asRunFailure, isCancellation, RunCancelled, RunContext } from './run-context.js';
import { run } from './run.js';
import { Device } from './tensor/tensor.js';

/** LSP's code for the answer to a request that was cancelled. */
const REQUEST_CANCELLED = -32800;

interface Streams {
  input: Readable;
  output: Writable;
  onClose(): void;
}

export interface ConnectionOptions extends Streams {
  core: NativeCore;
  version: string;
}

/** A worker without a native core: it says why, to whoever asks. */
export function refuse({ input, output, onClose }: Streams, { failure }: RunFailureError): void {
  const connection = createMessageConnection(new StreamMessageReader(input), new StreamMessageWriter(output));
  connection.onRequest(initializeRequest, () => new ResponseError(NATIVE_CORE_UNAVAILABLE, failure.message));
  connection.onClose(onClose);
  connection.listen();
}

export function listen({ input, output, core, version, onClose }: ConnectionOptions): MessageConnection {
  const connection = createMessageConnection(new StreamMessageReader(input), new StreamMessageWriter(output));
  const devices = new Devices(core);
  let active: { context: RunContext; ended: Promise<void> } | null = null;
  /** Evaluations and inspections wait for each other: the device has one queue, and its failures belong to one asker at a time. */
  let last: Promise<unknown> = Promise.resolve();
  const oneAtATime = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work, work);
    last = mine.catch(() => undefined);
    return mine;
  };

  connection.onRequest(initializeRequest, ({ protocol, host, threads }: InitializeParams): InitializeResult | ResponseError => {
    if (protocol !== PROTOCOL_VERSION) return new ResponseError(-32600, runFailure.protocolMismatch(protocol, PROTOCOL_VERSION).message);
    console.error(`worker ${version} serves ${host}`);
    devices.defaultThreads = threads;
    return { protocol: PROTOCOL_VERSION, version, native_abi: core.abi, devices: describeDevices(core) };
  });

  connection.onRequest(devicesRequest, () => describeDevices(core));

  connection.onRequest<RunResult, unknown>(runRequest, ({ plan: received }: RunParams): RunResult => {
    if (active !== null) return { failure: runFailure.runAlreadyActive(active.context.runId).failure };
    const checked = asPlan(received);
    if ('error' in checked) return { failure: runFailure.planInvalid(checked.error).failure };
    const { plan } = checked;
    const run_dir = `${plan.output.dir}.run`;
    try {
      const { device, facts } = devices.open(plan.device, plan.threads);
      device.native.resetPeakMemory();
      const send = (event: Parameters<RunContext['emit']>[0]): void => void connection.sendNotification(runEventNotification, event);
      const context = new RunContext(plan, device, facts, run_dir, version, send, randomUUID());
      // The answer goes out before the first event.
      const ended = oneAtATime(async () => {
        await new Promise(setImmediate);
        try {
          await run(context);
        } finally {
          active = null;
        }
        if (device.liveTensors !== 0) console.error(`${device.liveTensors} tensors were not freed by the run`);
      });
      active = { context, ended };
      return { run_id: context.runId, run_dir };
    } catch (error) {
      return { failure: asRunFailure(error) };
    }
  });

  connection.onRequest(cancelRequest, async ({ run_id }: CancelParams): Promise<null> => {
    if (active !== null && active.context.runId === run_id) {
      active.context.cancel();
      await active.ended;
    }
    return null;
  });

  connection.onRequest(
    evaluateRequest,
    async (params: EvaluateParams, token: CancellationToken): Promise<EvaluateResult | ResponseError> => {
      try {
        return await oneAtATime(() => evaluate(connection, devices, params, token));
      } catch (error) {
        if (isCancellation(error)) return new ResponseError(REQUEST_CANCELLED, 'The evaluation was cancelled.');
        return { failure: asRunFailure(error) };
      }
    },
  );

  connection.onRequest(inspectTensorRequest, async (params: InspectTensorParams): Promise<InspectTensorResult> => {
    try {
      return { statistics: await oneAtATime(() => inspect(devices, params)) };
    } catch (error) {
      return { failure: asRunFailure(error) };
    }
  });

  connection.onClose(onClose);
  connection.onError(([error]) => console.error(`A message of the host cannot be read: ${error.message}`));
  connection.listen();
  return connection;
}

async function evaluate(
  connection: MessageConnection,
  devices: Devices,
  { model, dataset, device: kind }: EvaluateParams,
  token: CancellationToken,
): Promise<EvaluateResult> {
  const throwIfCancelled = (): void => {
    if (token.isCancellationRequested) throw new RunCancelled();
  };
  throwIfCancelled();
  await verifyModelFiles(model);
  const { device } = devices.open(kind, null);
  const subscription = token.onCancellationRequested(() => device.native.cancel());
  try {
    const onProgress = (fraction: number): void =>
      void connection.sendNotification(evaluateProgressNotification, { fraction, message: `evaluating ${model.dir}` });
    const problems: RunProblem[] = [];
    const onProblem = (problem: RunProblem): void => void problems.push(problem);
    return { perplexity: await measurePerplexity(model, dataset, device, { onProgress, onProblem, throwIfCancelled }), problems };
  } finally {
    subscription.dispose();
    if (token.isCancellationRequested) {
      await device.sync().catch((error: unknown) => {
        if (!isCancellation(error)) console.error(error);
      });
      device.native.resume();
    }
  }
}

async function inspect(devices: Devices, { model, name }: InspectTensorParams) {
  await verifyModelFiles(model);
  const { device } = devices.open('cpu', null);
  const reader = openTensorReader(device, modelTensors(model));
  const scheme = model.quantization?.layers[name];
  const tensorName = scheme?.weights ? `${name}.weight` : inspectedTensor(model, name);
  // A quantized module is shown as any reader of the file would compute it.
  using weights = await loadWeights(
    reader,
    (wanted) => wanted === tensorName,
    (module) => model.quantization?.layers[module] ?? null,
  );
  return await tensorStatistics(tensorName, weights.tensor(tensorName));
}

const describeDevices = (core: NativeCore): DeviceDescription[] => core.devices().map((device) => ({ ...device }));

/** Opened devices: one at a time, opened again when other threads are asked for. */
class Devices {
  defaultThreads: number | null = null;
  private current: { key: string; device: Device; facts: RunReport['device'] } | null = null;

  constructor(private readonly core: NativeCore) {}

  open(wanted: QuantizationPlan['device'], threads: number | null): { device: Device; facts: RunReport['device'] } {
    const all = this.core.devices();
    // Nobody gets CUDA unasked until its backend has passed gpu-suite.sh on a device: so far its kernels have run in emulation alone.
    const kind = wanted === 'auto' ? 'cpu' : wanted;
    const ofKind = all.filter((device) => device.kind === kind);
    const info = ofKind.find((device) => device.usable) ?? ofKind[0];
    if (!info?.usable) throw runFailure.deviceUnavailable(kind, info?.reason ?? 'this machine has none that the native core knows');
    const n_threads = threads ?? this.defaultThreads ?? 0;
    const key = `${kind} ${n_threads}`;
    if (this.current?.key !== key) {
      this.current?.device.native.close();
      // Where opening fails, a later run must not find the closed one.
      this.current = null;
      const native = this.openNative(kind, info.index, n_threads);
      this.current = { key, device: new Device(native), facts: { kind, name: native.name, threads: native.threads } };
    }
    return this.current;
  }

  private openNative(kind: 'cpu' | 'cuda', index: number, n_threads: number): NativeDevice {
    try {
      return this.core.openDevice(kind, index, n_threads);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw kind === 'cpu' ? runFailure.threadsRefused(n_threads, reason) : runFailure.deviceUnavailable(kind, reason);
    }
  }
}
