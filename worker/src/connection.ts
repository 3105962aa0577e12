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
import type { RunProblem } from '../../schemas/src/generated/report.js';
import {
  analyzeRequest,
  cancelRequest,
  devicesRequest,
  evaluateProgressNotification,
  evaluateRequest,
  hashInputsRequest,
  initializeRequest,
  inspectTensorRequest,
  NATIVE_CORE_UNAVAILABLE,
  runEventNotification,
  runRequest,
  searchBitsRequest,
  type AnalyzeParams,
  type AnalyzeResult,
  type CancelParams,
  type EvaluateParams,
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
import { runFailure, type RunFailureError } from '../../schemas/src/run-failure.js';
import { asLock, asPlan } from '../../schemas/src/validate.js';
import { hashFiles } from './hash-files.js';
import { inputFiles } from './report/run-lock.js';
import { analyze } from './analyze/analyze.js';
import { searchBits } from './analyze/search-bits.js';
import { loadWeights } from './checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader, verifyModelFiles } from './checkpoint/tensor-reader.js';
import { withAdapter } from './checkpoint/adapter-folder.js';
import { measurePerplexity } from './evaluate/perplexity.js';
import type { NativeCore } from './native-core.js';
import { Devices } from './open-devices.js';
import type { Device } from './tensor/tensor.js';
import {
  channelPieces,
  inspectedTensor,
  levelsOf,
  onePiece,
  storedMatrix,
  storedPieces,
  tensorStatistics,
  wholeMatrix,
} from './report/inspect-tensor.js';
import { asRunFailure, idle, isCancellation, RunCancelled, RunContext } from './run-context.js';
import { run } from './run.js';

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
    return { protocol: PROTOCOL_VERSION, version, native_abi: core.abi, devices: core.devices() };
  });

  connection.onRequest(devicesRequest, () => core.devices());

  connection.onRequest<RunResult, unknown>(runRequest, ({ plan: received }: RunParams): RunResult => {
    if (active !== null) return { failure: runFailure.runAlreadyActive(active.context.runId).failure };
    const checked = asPlan(received);
    if ('error' in checked) return { failure: runFailure.planInvalid(checked.error).failure };
    const { plan } = checked;
    const run_dir = `${plan.output.dir}.run`;
    try {
      const { devices: opened, facts } = devices.open(plan.device, plan.threads);
      for (const { native } of opened) native.resetPeakMemory();
      const send = (event: Parameters<RunContext['emit']>[0]): void => void connection.sendNotification(runEventNotification, event);
      const context = new RunContext(plan, opened, facts, run_dir, version, send, randomUUID());
      // The answer goes out before the first event.
      const ended = oneAtATime(async () => {
        await new Promise(setImmediate);
        try {
          await run(context);
        } finally {
          active = null;
        }
        const n_live = opened.reduce((sum, { liveTensors }) => sum + liveTensors, 0);
        if (n_live !== 0) console.error(`${n_live} tensors were not freed by the run`);
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

  connection.onRequest(hashInputsRequest, async ({ lock }: HashInputsParams): Promise<HashInputsResult> => {
    const checked = asLock(lock);
    if ('error' in checked) return { failure: runFailure.lockInvalid(checked.error).failure };
    using hashes = hashFiles(inputFiles(checked.lock.plan));
    return await hashes.done.then(
      (inputs) => ({ inputs }),
      (error: unknown) => ({ failure: asRunFailure(error) }),
    );
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

  connection.onRequest(analyzeRequest, async (params: AnalyzeParams, token: CancellationToken): Promise<AnalyzeResult | ResponseError> => {
    try {
      return await oneAtATime(() => analyzePlan(connection, devices, version, params, token));
    } catch (error) {
      if (isCancellation(error)) return new ResponseError(REQUEST_CANCELLED, 'The analysis was cancelled.');
      return { failure: asRunFailure(error) };
    }
  });

  connection.onRequest(
    searchBitsRequest,
    async (params: SearchBitsParams, token: CancellationToken): Promise<SearchBitsResult | ResponseError> => {
      try {
        return await oneAtATime(() => searchPlan(connection, devices, version, params, token));
      } catch (error) {
        if (isCancellation(error)) return new ResponseError(REQUEST_CANCELLED, 'The search was cancelled.');
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
  { model, dataset, device: wanted, adapter }: EvaluateParams,
  token: CancellationToken,
): Promise<EvaluateResult> {
  const throwIfCancelled = (): void => {
    if (token.isCancellationRequested) throw new RunCancelled();
  };
  throwIfCancelled();
  await verifyModelFiles(model);
  const measured = adapter ? await withAdapter(model) : model;
  const { devices: opened } = devices.open(wanted, null);
  const onProgress = (fraction: number): void =>
    void connection.sendNotification(evaluateProgressNotification, { fraction, message: `evaluating ${model.dir}` });
  const problems: RunProblem[] = [];
  const onProblem = (problem: RunProblem): void => void problems.push(problem);
  const watch = { onProgress, onProblem, throwIfCancelled };
  return cancellable(opened, token, async () => ({ perplexity: await measurePerplexity(measured, dataset, opened, watch), problems }));
}

async function analyzePlan(
  connection: MessageConnection,
  devices: Devices,
  version: string,
  { plan, bits, end_to_end, fisher, hessian_probes, keep_weights }: AnalyzeParams,
  token: CancellationToken,
): Promise<AnalyzeResult> {
  return onFirstDevice(connection, devices, plan, token, (opened) =>
    analyze({ ...opened, bits, endToEnd: end_to_end, fisher, hessianProbes: hessian_probes, keepWeights: keep_weights, version }),
  );
}

async function searchPlan(
  connection: MessageConnection,
  devices: Devices,
  version: string,
  { plan, criterion, evaluations, metric }: SearchBitsParams,
  token: CancellationToken,
): Promise<SearchBitsResult> {
  return onFirstDevice(connection, devices, plan, token, (opened) => searchBits({ ...opened, criterion, evaluations, metric, version }));
}

type OnDevice = Pick<Parameters<typeof analyze>[0], 'plan' | 'device' | 'kind' | 'watch'>;

/** Work on the first device of the plan's choice that tells its progress as an evaluation does. */
async function onFirstDevice<T>(
  connection: MessageConnection,
  devices: Devices,
  received: QuantizationPlan,
  token: CancellationToken,
  work: (opened: OnDevice) => Promise<T>,
): Promise<T> {
  const checked = asPlan(received);
  if ('error' in checked) throw runFailure.planInvalid(checked.error);
  const { plan } = checked;
  const throwIfCancelled = (): void => {
    if (token.isCancellationRequested) throw new RunCancelled();
  };
  throwIfCancelled();
  const { devices: opened, facts } = devices.open(plan.device, plan.threads);
  const onProgress = (fraction: number, message: string): void =>
    void connection.sendNotification(evaluateProgressNotification, { fraction, message });
  const onProblem = (problem: RunProblem): void =>
    void connection.sendNotification(evaluateProgressNotification, { fraction: 0, message: '', problem });
  const watch = { onProgress, onProblem, throwIfCancelled };
  for (const { native } of opened) native.resetPeakMemory();
  return cancellable(opened, token, () => work({ plan, device: opened[0]!, kind: facts.kind, watch }));
}

/** Cancelled devices are empty and take work again afterwards. */
async function cancellable<T>(opened: readonly Device[], token: CancellationToken, work: () => Promise<T>): Promise<T> {
  const subscription = token.onCancellationRequested(() => opened.forEach(({ native }) => native.cancel()));
  try {
    return await work();
  } finally {
    subscription.dispose();
    if (token.isCancellationRequested) await idle(opened);
  }
}

async function inspect(devices: Devices, { model, name, channel }: InspectTensorParams) {
  await verifyModelFiles(model);
  const {
    devices: [device],
  } = devices.open('cpu', null);
  const layers = model.quantization?.layers ?? {};
  const tensorName = layers[name]?.weights ? `${name}.weight` : inspectedTensor(model, name);
  const placed = modelTensors(model);
  if (!layers[tensorName.replace(/\.weight$/, '')]?.weights) {
    const stored = placed.findLast(({ tensor }) => tensor.name === tensorName);
    if (stored !== undefined)
      return await tensorStatistics(
        tensorName,
        channel === undefined ? storedPieces(device!, stored) : channelPieces(storedMatrix(device!, stored), channel),
      );
  }
  // A quantized module is shown as any reader of the file would compute it, which takes the whole of it.
  using weights = await loadWeights(
    openTensorReader(device!, placed),
    (wanted) => wanted === tensorName,
    (module) => layers[module] ?? null,
  );
  const weight = weights.tensor(tensorName);
  if (channel === undefined) return await tensorStatistics(tensorName, onePiece(weight));
  const pieces = channelPieces(wholeMatrix(tensorName, weight), channel);
  return { ...(await tensorStatistics(tensorName, pieces)), levels: await levelsOf(pieces) };
}
