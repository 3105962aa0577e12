// The closed list of ways a run can fail, one factory each: it takes the facts and writes what, why and what to do.
import type { RunFailure } from './run-event.js';

/** Thrown inside the worker and caught once, at the end of the run. Never used for cancellation, which is a result. */
export class RunFailureError extends Error {
  constructor(readonly failure: RunFailure) {
    super(failure.message);
    this.name = 'RunFailureError';
  }
}

const fail = (code: string, place: string | null, message: string): RunFailureError => new RunFailureError({ code, place, message });

export const runFailure = {
  planInvalid: (detail: string) =>
    fail(
      'plan-invalid',
      null,
      `The plan does not fit this version of the worker: ${detail}. Resolve the recipe again with the matching version.`,
    ),
  lockInvalid: (detail: string) =>
    fail(
      'lock-invalid',
      null,
      `The lock of the run does not fit this version of Bitwright: ${detail}. Use the version that it names, or quantize the recipe again.`,
    ),
  protocolMismatch: (host: number, worker: number) =>
    fail(
      'protocol-mismatch',
      null,
      `The host speaks protocol ${host}, the worker ${worker}. Reinstall Bitwright so that both come from one version.`,
    ),
  runAlreadyActive: (runId: string) =>
    fail('run-already-active', runId, `A run (${runId}) is active in this worker. Cancel it or wait for its end before starting another.`),
  modelFileChanged: (file: string, detail: string) =>
    fail(
      'model-file-changed',
      file,
      `${file} is not what the plan was made from: ${detail}. Check the file, then run again to make a new plan.`,
    ),
  fileUnreadable: (file: string, detail: string) =>
    fail('file-unreadable', file, `${file} cannot be read: ${detail}. Check that it exists, is complete, and that you may read it.`),
  fileUnwritable: (file: string, detail: string) =>
    fail(
      'file-unwritable',
      file,
      `${file} cannot be written: ${detail}. Nothing was left behind as if whole; free the space or choose another output.dir and run again to resume.`,
    ),
  diskFull: (file: string, needed: string) =>
    fail(
      'disk-full',
      file,
      `The disk is full while writing ${file}, which needs room for ${needed}. Free space or choose another output.dir; running again resumes after the last finished block.`,
    ),
  diskTooSmall: (dir: string, needed: string, room: string, work = 'run') =>
    fail(
      'disk-full',
      dir,
      `The ${work} needs ${needed} of disk in ${dir} and beside it, and can use ${room} there. Free space or choose another output.dir.`,
    ),
  headerInvalid: (file: string, detail: string) =>
    fail('safetensors-header-invalid', file, `${file} is not a sound safetensors file: ${detail}. Download or export it again.`),
  channelMissing: (tensor: string, detail: string) =>
    fail('channel-missing', tensor, `${tensor} has no such channel: ${detail}. Choose one that it has.`),
  analysisImpossible: (sentence: string) => fail('analysis-impossible', null, sentence),
  analysisMissing: (dir: string, detail: string) =>
    fail(
      'analysis-missing',
      dir,
      `${dir} holds no analysis that can be searched: ${detail}. Run bitwright analyze with --keep-weights and this recipe first.`,
    ),
  tensorNotFinite: (tensor: string, file: string, count: number, index: number) =>
    fail(
      'tensor-not-finite',
      tensor,
      `${tensor} in ${file} holds ${count === 1 ? '1 value that is' : `${count} values that are`} NaN or infinite, the first at flat index ${index}. Quantizing it would spread them; repair the model or add the layer to ignore.`,
    ),
  activationNotFinite: (layer: string, detail: string) =>
    fail(
      'activation-not-finite',
      layer,
      `The input of ${layer} became NaN or infinite while calibrating (${detail}). The model or a calibration row is broken; evaluate the unquantized model first.`,
    ),
  lossNotFinite: (dir: string, detail: string) =>
    fail(
      'loss-not-finite',
      dir,
      `The perplexity of ${dir} is not a number: ${detail}. A weight or scale is NaN or infinite, or the activations overflow; bitwright inspect ${dir} --layer NAME counts such values in a layer.`,
    ),
  datasetInvalid: (file: string, line: number | null, detail: string) =>
    fail('dataset-invalid', file, `${file}${line === null ? '' : `, line ${line}`}: ${detail}.`),
  tokenizerInvalid: (file: string, detail: string) =>
    fail(
      'tokenizer-invalid',
      file,
      `${file} cannot be used as a tokenizer: ${detail}. Give input_ids in the dataset instead, or repair the file.`,
    ),
  architectureUnknown: (name: string, purpose: string) =>
    fail(
      'architecture-unknown',
      name,
      `${purpose} needs to run the model, and ${name} is not an architecture that Bitwright can run (it knows the Llama family). Use a data-free method, such as QuantizationModifier with a weight-only scheme.`,
    ),
  outputNotOurs: (dir: string) =>
    fail('output-not-ours', dir, `${dir} exists and was not written by Bitwright. Choose another output.dir or move the folder away.`),
  outputInUse: (dir: string, other: { pid: number; started_at: string }) =>
    fail(
      'output-in-use',
      dir,
      `Another run, of process ${other.pid} since ${other.started_at}, is at work in ${dir}. Wait for its end or cancel it, or choose another output.dir.`,
    ),
  outputNotAFolder: (dir: string, file: string) =>
    fail(
      'output-not-a-folder',
      dir,
      dir === file
        ? `${dir} is a file, and a checkpoint is a folder. Choose another output.dir or move the file away.`
        : `The output folder ${dir} cannot be made, as ${file} is a file and no folder. Choose another output.dir or move the file away.`,
    ),
  deviceUnavailable: (kind: string, reason: string) =>
    fail('device-unavailable', kind, `The device ${kind} cannot be used: ${reason}. Choose device: cpu or auto.`),
  threadsRefused: (threads: number, reason: string) =>
    fail(
      'threads-refused',
      null,
      `The CPU cannot be used with ${threads} threads: ${reason}. Lower threads in the recipe, --threads or the setting bitwright.threads, or leave it out: it is then one thread per physical core.`,
    ),
  /** `room`: what is free, as a sentence. */
  memoryTooSmall: (needed: string, room: string, stage: string, otherwise = 'use a machine with more memory') =>
    fail(
      'memory-too-small',
      stage,
      `${stage} needs ${needed} and ${room}. Lower max_seq_length or num_calibration_samples, or ${otherwise}.`,
    ),
  hessianNotPositiveDefinite: (layer: string, detail: string) =>
    fail(
      'hessian-not-positive-definite',
      layer,
      `The Hessian of ${layer} cannot be factored: ${detail}. Raise dampening_frac, or use more and more varied calibration rows.`,
    ),
  /** `before`: the measure before this one. */
  canaryStopped: (canary: {
    block: number;
    n_blocks: number;
    value: string;
    limit: string;
    before: string | null;
    text: string;
    worst: string | null;
    dir: string;
  }) =>
    fail(
      'canary-stopped',
      `block ${canary.block}`,
      `The canary stopped the run behind block ${canary.block} of ${canary.n_blocks}: with the blocks so far quantized the mean KL divergence from the model is ${canary.value} on ${canary.text}${canary.before === null ? '' : ` (${canary.before})`}, and canary.max_mean_kld allows ${canary.limit}. ${canary.worst === null ? '' : `The layer with the largest error so far is ${canary.worst}: give it more bits, or add it to ignore. `}${canary.dir} was not written; the blocks that are finished are kept, and with a higher max_mean_kld, or without canary, running again goes on behind block ${canary.block}.`,
    ),
  nativeCore: (operation: string, detail: string) => fail('native-core', operation, `The native operation ${operation} failed: ${detail}.`),
  nativeCoreUnavailable: (reason: string, wayOut: string) =>
    fail(
      'native-core-unavailable',
      null,
      `The native core, which computes, cannot be loaded: ${reason}. Recipes are checked here all the same. ${wayOut}.`,
    ),
  workerDied: (detail: string, lastLines: string) =>
    fail(
      'worker-died',
      null,
      `The worker process ended before its work was done (${detail}). A run resumes after its last finished block when it is started again.${lastLines ? `\nLast lines of its log:\n${lastLines}` : ''}`,
    ),
} as const;
