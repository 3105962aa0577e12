// The progress union: the worker emits it, the client and the command line forward it, nobody reinterprets it.
import type { CanaryFigure, LayerMetrics, RunProblem } from './generated/report.js';

export type RunStage = 'prepare' | 'calibrate' | 'transform' | 'quantize' | 'forward' | 'canary' | 'write' | 'lock' | 'evaluate' | 'report';
export type RunOutcome = 'completed' | 'cancelled' | 'failed';

export type RunEvent =
  /** First event. `resumed_blocks` > 0 when an earlier run of the same plan is continued. */
  | { kind: 'run-began'; run_id: string; run_dir: string; n_blocks: number; n_layers: number; resumed_blocks: number; device: string }
  /** A stage of a block began; block is null for work outside the blocks (embedding, head, evaluation). */
  | { kind: 'stage-began'; run_id: string; stage: RunStage; block: number | null; detail: string }
  /** It ended, or was broken off. `memory`: tensors on the device that held the most, and what it has or is allowed; null where nobody says. */
  | {
      kind: 'stage-ended';
      run_id: string;
      stage: RunStage;
      block: number | null;
      seconds: number;
      memory: { now_bytes: number; peak_bytes: number; limit_bytes: number | null };
    }
  /** `fraction` of the whole run in [0, 1], only rises; `eta_seconds` is null until it can be said honestly. */
  | { kind: 'progress'; run_id: string; fraction: number; eta_seconds: number | null; message: string }
  /** A layer is finished, with the numbers that the charts need. */
  | { kind: 'layer-finished'; run_id: string; layer: LayerMetrics }
  /** How far the model is from itself with the blocks up to this one quantized. */
  | { kind: 'canary-measured'; run_id: string; figure: CanaryFigure }
  /** A loss, fallback or oddity found while running; also an entry of the report. */
  | { kind: 'problem'; run_id: string; problem: RunProblem }
  /** Last event, whatever happened. */
  | {
      kind: 'run-ended';
      run_id: string;
      outcome: RunOutcome;
      report_dir: string | null;
      output_dir: string | null;
      failure: RunFailure | null;
    };

/** Why a run stopped: what happened, why and what to do. Codes are listed in run-failure.ts. */
export interface RunFailure {
  code: string;
  message: string;
  /** File, layer or tensor it happened at, when there is one. */
  place: string | null;
}
