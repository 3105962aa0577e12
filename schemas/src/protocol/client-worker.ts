// Messages between a host (extension or command line) and the worker, JSON-RPC over stdio. Bulk arrays never travel here: they are files in the run folder.
import type { RunLock } from '../generated/lock.js';
import type { DatasetPlan, ModelDescription, QuantizationPlan } from '../generated/plan.js';
import type { Perplexity, RunProblem } from '../generated/report.js';
import type { RunFailure } from '../run-event.js';
import type { LossMetric } from '../suggest-bits.js';

/** Host to worker, first message. The worker refuses a different protocol number. */
export const initializeRequest = 'worker/initialize';
/** Of the CPU: the native core refuses more, as its matrix library has no buffers for them and no machine has more cores. */
export const MOST_THREADS = 512;

/** Code of the worker's answer when it has no native core to work with; the message is that of the run failure. */
export const NATIVE_CORE_UNAVAILABLE = -32001;

export interface InitializeParams {
  protocol: number;
  host: string;
  /** Threads of the native pool; null: one per physical core. Never changes the bytes. */
  threads: number | null;
}
export interface InitializeResult {
  protocol: number;
  version: string;
  native_abi: number;
  devices: DeviceDescription[];
}
export interface DeviceDescription {
  kind: 'cpu' | 'cuda';
  index: number;
  name: string;
  usable: boolean;
  /** Why not usable, in one sentence; else null. */
  reason: string | null;
  memory_bytes: number | null;
  compute_capability: string | null;
  /** Facts worth showing: instruction sets, driver, libraries found. */
  details: Record<string, string>;
}

/** Host to worker: list devices again. */
export const devicesRequest = 'worker/devices';

/** Host to worker: start (or resume) a run; answers at once, events follow until run-ended. */
export const runRequest = 'worker/run';
export interface RunParams {
  plan: QuantizationPlan;
}
export type RunResult = { run_id: string; run_dir: string } | { failure: RunFailure };

/** Host to worker: stop the active run; answers when the device is idle and the journal is written. */
export const cancelRequest = 'worker/cancel';
export interface CancelParams {
  run_id: string;
}

/** Host to worker: the hashes of the files that the run of a lock has read, as they are now. */
export const hashInputsRequest = 'worker/hashInputs';
export interface HashInputsParams {
  /** As it was read from disk; the worker checks it. */
  lock: unknown;
}
export type HashInputsResult = { inputs: RunLock['inputs'] } | { failure: RunFailure };

/** Worker to host: a RunEvent, in the order in which things happen. */
export const runEventNotification = 'worker/runEvent';

/** Host to worker: perplexity of a model folder (any that can be read, quantized or not) on a text. Cancellable by the request's token. */
export const evaluateRequest = 'worker/evaluate';
export interface EvaluateParams {
  model: ModelDescription;
  dataset: DatasetPlan;
  /** As in a plan. */
  device: string;
  /** The LoRA adapter in the model's folder `adapter` counts, where there is one. */
  adapter: boolean;
}
/** `problems`: what was found about the text, such as rows that were cut. */
export type EvaluateResult = { perplexity: Perplexity; problems: RunProblem[] } | { failure: RunFailure };
/** Worker to host while evaluating. */
export const evaluateProgressNotification = 'worker/evaluateProgress';
export interface EvaluateProgressParams {
  fraction: number;
  message: string;
  /** Found at this moment; an analysis and a search answer all of them too. */
  problem?: RunProblem;
}

/**
 * Host to worker: what quantizing each layer of the plan alone costs, for every number of bits. Written as sensitivity.json into <output.dir>.analysis,
 * where an interrupted analysis continues. Cancellable by the request's token; tells its progress as an evaluation does.
 */
export const analyzeRequest = 'worker/analyze';
export interface AnalyzeParams {
  plan: QuantizationPlan;
  bits: number[];
  /** KL divergence and perplexity with each candidate alone, on the text of the plan's evaluation. */
  end_to_end: boolean;
  /** Squared gradients of the loss, and what they predict for each candidate. */
  fisher: boolean;
  /** Probes of the trace of the Hessian of the loss; 0: none. */
  hessian_probes: number;
  /** Each quantized weight stays in the folder, for a search. */
  keep_weights: boolean;
}
/** `resumed`: candidates that an earlier analysis had measured. */
export type AnalyzeResult = { dir: string; resumed: number } | { failure: RunFailure };

/**
 * Host to worker: the fewest bits, along the Pareto curve of an analysis with kept weights, with which the whole model still meets a criterion on the text
 * of the plan's evaluation. Cancellable as an analysis is; what was measured is known to the next search.
 */
export const searchBitsRequest = 'worker/searchBits';
export interface BitCriterion {
  metric: 'mean_kld' | 'perplexity_change';
  /** Nats, or perplexity above that of the model. */
  most: number;
}
export interface SearchBitsParams {
  plan: QuantizationPlan;
  criterion: BitCriterion;
  /** At most so many choices are measured. */
  evaluations: number;
  /** Loss that the curve adds up; null: what tells most of those that were measured. */
  metric: LossMetric | null;
}
/** A point of the curve, measured. */
export interface MeasuredBits {
  bytes: number;
  bits_per_weight: number;
  predicted_loss: number;
  mean_kld: number;
  perplexity: number;
  perplexity_change: number;
  holds: boolean;
}
/** `chosen`: index of the smallest that holds, null where none does; `exhausted`: a smaller one may hold, and was not measured. */
export interface BitSearch {
  dataset: string;
  measured: MeasuredBits[];
  chosen: number | null;
  exhausted: boolean;
}
export type SearchBitsResult = { search: BitSearch } | { failure: RunFailure };

/** Host to worker: statistics and histogram of one tensor, for `inspect --layer`. */
export const inspectTensorRequest = 'worker/inspectTensor';
export interface InspectTensorParams {
  model: ModelDescription;
  /** Module or tensor name. */
  name: string;
  /** Of it alone; the whole tensor where it is left out. */
  channel?: TensorChannel;
}
/** A row of a weight is an output channel, a column an input channel. */
export interface TensorChannel {
  axis: 'row' | 'column';
  index: number;
}
export interface TensorStatistics {
  name: string;
  dtype: string;
  shape: number[];
  count: number;
  n_nan: number;
  n_inf: number;
  min: number;
  max: number;
  mean: number;
  std: number;
  absmax: number;
  histogram: { min: number; max: number; counts: number[] };
  /** Of a channel of a quantized layer: the values that it takes, its grid as far as it is used, ascending. */
  levels?: number[];
}
export type InspectTensorResult = { statistics: TensorStatistics } | { failure: RunFailure };
