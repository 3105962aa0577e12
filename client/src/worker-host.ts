// Starts the worker process and speaks with it: handshake, requests, run events, log lines, and a clear failure when it dies. Used by the extension and the command line.
import {
  CancellationTokenSource,
  ConnectionError,
  createMessageConnection,
  ErrorCodes,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import {
  analyzeRequest,
  cancelRequest,
  devicesRequest,
  evaluateProgressNotification,
  evaluateRequest,
  initializeRequest,
  hashInputsRequest,
  inspectTensorRequest,
  NATIVE_CORE_UNAVAILABLE,
  runEventNotification,
  runRequest,
  searchBitsRequest,
  type CancelParams,
  type DeviceDescription,
  type AnalyzeParams,
  type AnalyzeResult,
  type EvaluateParams,
  type EvaluateProgressParams,
  type EvaluateResult,
  type HashInputsParams,
  type HashInputsResult,
  type InitializeParams,
  type InitializeResult,
  type InspectTensorParams,
  type InspectTensorResult,
  type RunParams,
  type RunResult,
  type SearchBitsParams,
  type SearchBitsResult,
} from '../../schemas/src/protocol/client-worker.js';
import { PROTOCOL_VERSION } from '../../schemas/src/protocol/version.js';
import type { RunEvent, RunFailure } from '../../schemas/src/run-event.js';
import { runFailure, RunFailureError } from '../../schemas/src/run-failure.js';
import { startChild, type Child } from './child-process.js';

export interface WorkerOptions {
  /** dist/worker/main.js. */
  workerPath: string;
  /** The Node (or Electron) that runs it. Electron needs ELECTRON_RUN_AS_NODE=1 in `env`. */
  execPath: string;
  env: NodeJS.ProcessEnv;
  /** Name and version of this host, for the worker's log. */
  host: string;
  /** Threads of the native pool; null: one per physical core. */
  threads: number | null;
  /** Every run event. A run that was active when the worker ended gets its `run-ended` (failed) from here. */
  onEvent(event: RunEvent): void;
  /** Each line that the worker writes to stderr, without its line end. */
  onLog(line: string): void;
  /** Once, when the process is gone and its output is read. */
  onExit(exit: WorkerExit): void;
}

export interface WorkerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** null when the host had asked for the end (dispose or kill). */
  failure: RunFailure | null;
}

/** A started worker. Requests reject with a RunFailureError (worker-died) when the process ends before it answers. */
export interface WorkerHost {
  readonly initialized: InitializeResult;
  readonly pid: number;
  devices(): Promise<DeviceDescription[]>;
  /** Answers when the run has begun or was refused; its events follow until run-ended. */
  run(plan: QuantizationPlan): Promise<RunResult>;
  /** Resolves when the device is idle and the journal is written. */
  cancel(runId: string): Promise<void>;
  evaluate(params: EvaluateParams, control?: EvaluateControl): Promise<EvaluateResult | { cancelled: true }>;
  /** Progress and cancelling as of an evaluation; a cancelled analysis continues when it is asked for again. */
  analyze(params: AnalyzeParams, control?: EvaluateControl): Promise<AnalyzeResult | { cancelled: true }>;
  /** As an analysis; what was measured is known to the next search. */
  searchBits(params: SearchBitsParams, control?: EvaluateControl): Promise<SearchBitsResult | { cancelled: true }>;
  /** Of the files that the run of a lock has read. */
  hashInputs(params: HashInputsParams): Promise<HashInputsResult>;
  inspectTensor(params: InspectTensorParams): Promise<InspectTensorResult>;
  /** Ends the process in order: its input closes, and it is killed when it lingers. Resolves when it is gone. */
  dispose(): Promise<void>;
  /** Ends the process at once. A run can be resumed by running its plan again. */
  kill(): void;
}

export interface EvaluateControl {
  signal?: AbortSignal;
  onProgress?(progress: EvaluateProgressParams): void;
}

/** LSP's code for the answer to a request that was cancelled. */
const REQUEST_CANCELLED = -32800;
const HANDSHAKE_MILLISECONDS = 60_000;

/** Spawns the worker and shakes hands. Rejects with a RunFailureError when it does not start or speaks another protocol. */
export async function startWorker(options: WorkerOptions): Promise<WorkerHost> {
  const { execPath, workerPath, env, onLog } = options;
  const child = startChild({ execPath, args: [workerPath], env, onLog });
  const connection = createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin));
  connection.onError(([error]) => onLog(`A message of the worker cannot be read: ${error.message}`));
  const died = child.ended.then(({ detail, lastLines }): never => {
    throw runFailure.workerDied(detail, lastLines);
  });
  const request = requestUntilEnd(connection, child, died);
  const activeRuns = new Set<string>();
  let evaluateProgress: EvaluateControl['onProgress'];

  connection.onNotification(runEventNotification, (event: RunEvent) => {
    if (event.kind === 'run-ended') activeRuns.delete(event.run_id);
    options.onEvent(event);
  });
  connection.onNotification(evaluateProgressNotification, (progress: EvaluateProgressParams) => evaluateProgress?.(progress));
  void child.ended.then(({ code, signal, detail, expected, lastLines }) => {
    connection.dispose();
    const { failure } = runFailure.workerDied(expected ? 'ended by the host' : detail, expected ? '' : lastLines);
    for (const run_id of activeRuns)
      options.onEvent({ kind: 'run-ended', run_id, outcome: 'failed', report_dir: null, output_dir: null, failure });
    options.onExit({ code, signal, failure: expected ? null : failure });
  });
  connection.listen();

  const initialized = await shakeHands(request, child, options);
  const cancellable = async <Result>(method: string, params: object, control: EvaluateControl): Promise<Result | { cancelled: true }> => {
    evaluateProgress = control.onProgress;
    try {
      return await request<Result>(method, params, control.signal);
    } catch (error) {
      if (error instanceof ResponseError && error.code === REQUEST_CANCELLED) return { cancelled: true };
      throw error;
    }
  };
  return {
    initialized,
    pid: child.pid,
    devices: () => request<DeviceDescription[]>(devicesRequest, {}),
    run: async (plan) => {
      const params: RunParams = { plan };
      const result = await request<RunResult>(runRequest, params);
      if ('run_id' in result) activeRuns.add(result.run_id);
      return result;
    },
    cancel: async (run_id) => {
      const params: CancelParams = { run_id };
      await request<unknown>(cancelRequest, params);
    },
    evaluate: (params: EvaluateParams, control = {}) => cancellable<EvaluateResult>(evaluateRequest, params, control),
    analyze: (params: AnalyzeParams, control = {}) => cancellable<AnalyzeResult>(analyzeRequest, params, control),
    searchBits: (params: SearchBitsParams, control = {}) => cancellable<SearchBitsResult>(searchBitsRequest, params, control),
    hashInputs: (params: HashInputsParams) => request<HashInputsResult>(hashInputsRequest, params),
    inspectTensor: (params: InspectTensorParams) => request<InspectTensorResult>(inspectTensorRequest, params),
    dispose: () => child.stop(),
    kill: () => child.kill(),
  };
}

export type Requester = <Result>(method: string, params: object, signal?: AbortSignal) => Promise<Result>;

/** Requests that end with the process: whatever the connection says about its own closing, the caller hears what `died` rejects with. */
export function requestUntilEnd(connection: MessageConnection, child: Child, died: Promise<never>): Requester {
  // Requests race with it; without a pending one its rejection belongs to nobody.
  died.catch(() => undefined);
  return async <Result>(method: string, params: object, signal?: AbortSignal): Promise<Result> => {
    const cancellation = new CancellationTokenSource();
    const abort = (): void => cancellation.cancel();
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      return await Promise.race([connection.sendRequest<Result>(method, params, cancellation.token), died]);
    } catch (error) {
      if (!isConnectionLoss(error)) throw error;
      // A process that closed its stdout but still runs is of no use to anyone.
      void child.stop();
      return await died;
    } finally {
      signal?.removeEventListener('abort', abort);
      cancellation.dispose();
    }
  };
}

function isConnectionLoss(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return (
    error instanceof ResponseError && (error.code === ErrorCodes.MessageWriteError || error.code === ErrorCodes.PendingResponseRejected)
  );
}

async function shakeHands(request: Requester, child: Child, options: WorkerOptions): Promise<InitializeResult> {
  const params: InitializeParams = { protocol: PROTOCOL_VERSION, host: options.host, threads: options.threads };
  const timer = setTimeout(() => {
    options.onLog(`The worker gave no answer to its first message within ${HANDSHAKE_MILLISECONDS / 1000} s and is ended.`);
    child.kill();
  }, HANDSHAKE_MILLISECONDS);
  try {
    const result = await request<InitializeResult>(initializeRequest, params);
    if (result.protocol !== PROTOCOL_VERSION) throw runFailure.protocolMismatch(PROTOCOL_VERSION, result.protocol);
    return result;
  } catch (error) {
    await child.stop();
    // The worker's way to refuse the protocol; its sentence names both numbers.
    if (error instanceof ResponseError && error.code === ErrorCodes.InvalidRequest)
      throw new RunFailureError({ ...runFailure.protocolMismatch(PROTOCOL_VERSION, 0).failure, message: error.message });
    if (error instanceof ResponseError && error.code === NATIVE_CORE_UNAVAILABLE)
      throw new RunFailureError({ ...runFailure.nativeCoreUnavailable('', '').failure, message: error.message });
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
