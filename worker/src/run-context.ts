// What every stage of a run may use: the plan, the device, the event sink, the cancel flag, the stage timer. And the words for its failures.
import type { RunLock } from '../../schemas/src/generated/lock.js';
import type { QuantizationPlan } from '../../schemas/src/generated/plan.js';
import type {
  CanaryFigure,
  LayerMetrics,
  RotationMetrics,
  RunProblem,
  RunReport,
  TransformMetrics,
} from '../../schemas/src/generated/report.js';
import type { RunEvent, RunFailure, RunStage } from '../../schemas/src/run-event.js';
import { RunFailureError, runFailure } from '../../schemas/src/run-failure.js';
import type { PlacedBytes } from './calibration/activation-cache.js';
import type { Device } from './tensor/tensor.js';

/** Thrown to leave a cancelled run from any depth; caught once, in run.ts. Cancellation is a result, not a failure. */
export class RunCancelled extends Error {
  constructor() {
    super('The run was cancelled.');
    this.name = 'RunCancelled';
  }
}

export type RunEventSink = (event: RunEvent) => void;

export interface RunMark {
  n_layers: number;
  n_transforms: number;
  n_problems: number;
  doneOperations: number;
}

export class RunContext {
  readonly startedAt = new Date();
  readonly layers: LayerMetrics[] = [];
  readonly transforms: TransformMetrics[] = [];
  readonly rotations: RotationMetrics[] = [];
  readonly problems: RunProblem[] = [];
  readonly canary: CanaryFigure[] = [];
  readonly stageSeconds = new Map<RunStage, number>();
  /** Stage during which the native core held the most. */
  peakStage: RunStage = 'prepare';
  /** The most hidden states of the calibration rows in each place at a time; null without calibration. */
  hiddenStates: (() => PlacedBytes) | null = null;
  /** Of the calibration rows; null until they are known, and where none are needed. */
  tokens: RunLock['tokens'] = null;
  private peakBytes = 0;
  private isCancelled = false;
  private totalOperations = 0;
  private doneOperations = 0;
  private resumedOperations = 0;
  private fraction = 0;
  private n_stages_measured = 0;
  private progressBegan = 0;
  private lastProgress = 0;

  /** What is carried out: the plan that came, or that of the model with its rotations folded in. */
  plan: QuantizationPlan;

  constructor(
    /** As it came. */
    readonly given: QuantizationPlan,
    /** At least one; the first does what is done once. */
    readonly devices: readonly Device[],
    readonly deviceFacts: RunReport['device'],
    readonly runDir: string,
    readonly version: string,
    private readonly sink: RunEventSink,
    readonly runId: string,
  ) {
    this.plan = given;
  }

  get device(): Device {
    return this.devices[0]!;
  }

  /** Devices that the calibration rows are spread over: their number decides the order of sums. */
  get workDevice(): string {
    const { kind } = this.device.native;
    return this.plan.calibration === null || this.devices.length === 1 ? kind : `${this.devices.length} ${kind}`;
  }

  emit(event: RunEvent): void {
    this.sink(event);
  }

  problem(problem: RunProblem): void {
    this.problems.push(problem);
    this.emit({ kind: 'problem', run_id: this.runId, problem });
  }

  layerFinished(layer: LayerMetrics): void {
    this.layers.push(layer);
    this.emit({ kind: 'layer-finished', run_id: this.runId, layer });
  }

  canaryMeasured(figure: CanaryFigure): void {
    this.canary.push(figure);
    this.emit({ kind: 'canary-measured', run_id: this.runId, figure });
  }

  rotationFinished(metrics: RotationMetrics): void {
    this.rotations.push(metrics);
  }

  transformFinished(metrics: TransformMetrics): void {
    this.transforms.push(metrics);
  }

  /** What is counted and told so far, for `rewind` to. Events of what is begun again come again; the report has them once. */
  mark(): RunMark {
    const { layers, transforms, problems, doneOperations } = this;
    return { n_layers: layers.length, n_transforms: transforms.length, n_problems: problems.length, doneOperations };
  }

  rewind({ n_layers, n_transforms, n_problems, doneOperations }: RunMark): void {
    this.layers.length = n_layers;
    this.transforms.length = n_transforms;
    this.problems.length = n_problems;
    this.doneOperations = doneOperations;
  }

  /** Times the work, and says that it began. */
  async stage<T>(stage: RunStage, block: number | null, detail: string, work: () => Promise<T>): Promise<T> {
    this.throwIfCancelled();
    this.emit({ kind: 'stage-began', run_id: this.runId, stage, block, detail });
    const began = performance.now();
    try {
      return await work();
    } finally {
      const seconds = (performance.now() - began) / 1000;
      this.stageSeconds.set(stage, (this.stageSeconds.get(stage) ?? 0) + seconds);
      this.n_stages_measured += 1;
      this.emit({ kind: 'stage-ended', run_id: this.runId, stage, block, seconds, memory: this.fullestMemory() });
      const peak_bytes = Math.max(...this.devices.map(({ native }) => native.memory().peak_bytes));
      if (peak_bytes > this.peakBytes) [this.peakBytes, this.peakStage] = [peak_bytes, stage];
    }
  }

  private fullestMemory(): { now_bytes: number; peak_bytes: number; limit_bytes: number | null } {
    const all = this.devices.map(({ native }) => native.memory());
    const fullest = all.reduce((most, one) => (one.peak_bytes > most.peak_bytes ? one : most));
    return {
      now_bytes: fullest.current_bytes,
      peak_bytes: fullest.peak_bytes,
      limit_bytes: fullest.limit_bytes > 0 ? fullest.limit_bytes : fullest.total_bytes,
    };
  }

  /** Multiply-adds of the whole run, from which progress is told. `done`: what an earlier run has finished already. */
  expectOperations(total: number, done: number): void {
    this.totalOperations = total;
    this.doneOperations = done;
    this.fraction = total > 0 ? done / total : 0;
    this.progressBegan = performance.now();
    this.resumedOperations = done;
  }

  /** The fraction only rises; time left is told from the speed so far, after two stages have shown it. */
  advance(operations: number, message: string): void {
    this.doneOperations += operations;
    const reached = this.totalOperations > 0 ? Math.min(1, this.doneOperations / this.totalOperations) : 0;
    this.fraction = Math.max(this.fraction, reached);
    const now = performance.now();
    if (now - this.lastProgress < 100 && reached < 1) return;
    this.lastProgress = now;
    const speed = (this.doneOperations - this.resumedOperations) / (now - this.progressBegan);
    const left = Math.max(0, this.totalOperations - this.doneOperations);
    const eta_seconds = this.n_stages_measured >= 2 && speed > 0 ? left / speed / 1000 : null;
    this.emit({ kind: 'progress', run_id: this.runId, fraction: this.fraction, eta_seconds, message });
  }

  cancel(): void {
    this.isCancelled = true;
    for (const { native } of this.devices) native.cancel();
  }

  get cancelled(): boolean {
    return this.isCancelled;
  }

  throwIfCancelled(): void {
    if (this.isCancelled) throw new RunCancelled();
  }
}

/** Any error in the words of the closed list. What the native core says begins with the operation or the file. */
export function asRunFailure(error: unknown): RunFailure {
  if (error instanceof RunFailureError) return error.failure;
  const message = error instanceof Error ? error.message : String(error);
  const read = /^read (.+?): (.+)$/s.exec(message);
  if (read?.[1] !== undefined && read[2] !== undefined) return runFailure.fileUnreadable(read[1], read[2]).failure;
  const operation = /^([a-z0-9_]+)(?: of|:) (.+)$/s.exec(message);
  if (operation?.[1] !== undefined && operation[2] !== undefined) return runFailure.nativeCore(operation[1], operation[2]).failure;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code !== undefined) return runFailure.fileUnreadable((error as NodeJS.ErrnoException).path ?? 'A file', message).failure;
  // A fault of ours: its trace goes to the log, so that a report of it can be acted on.
  if (error instanceof Error) console.error(error.stack);
  return runFailure.nativeCore('worker', message).failure;
}

/** True for what the native core answers after cancel(). */
export const isCancellation = (error: unknown): boolean =>
  error instanceof RunCancelled || (error instanceof Error && error.message.includes('cancelled: '));

/** After a cancel: the queues are empty and take work again. */
export async function idle(devices: readonly Device[]): Promise<void> {
  for (const device of devices) {
    await device.sync().catch((error: unknown) => {
      if (!isCancellation(error)) console.error(error);
    });
    device.native.resume();
  }
}
