// A run in progress as its page shows it: the plan's layers, filled in by the run's events. Pure: event by event, from nothing but what was told.
import { memoryNeedOf } from './device-choice.js';
import type { QuantizationPlan } from './generated/plan.js';
import type { CanaryFigure, LayerMetrics, RunProblem } from './generated/report.js';
import { isNumber, isText, listOf, orNull, withFields } from './protocol/message-shape.js';
import type { RunEvent, RunOutcome, RunStage } from './run-event.js';

export interface LiveLayer {
  name: string;
  role: string;
  block: number | null;
  /** null: not finished yet. */
  metrics: LayerMetrics | null;
}

export interface LiveStage {
  name: RunStage;
  /** Times that it has ended, and those of them that belong to a block. */
  n_done: number;
  n_blocks_done: number;
  seconds: number;
  isRunning: boolean;
}

/** `elsewhere`: another process works on it. `interrupted`: its process is gone. `gone`: its folder holds nothing of it. */
export type LiveOutcome = RunOutcome | 'running' | 'elsewhere' | 'interrupted' | 'gone';

export interface LiveRun {
  /** File of the recipe, without its folder. */
  recipe: string;
  output: string;
  /** null until it has begun. */
  device: string | null;
  outcome: LiveOutcome;
  fraction: number;
  eta_seconds: number | null;
  message: string;
  n_blocks: number;
  resumed_blocks: number;
  layers: LiveLayer[];
  stages: LiveStage[];
  memory: { now_bytes: number; peak_bytes: number; limit_bytes: number | null } | null;
  estimated_bytes: number;
  /** null: the recipe has none. */
  canary: { max_mean_kld: number; every: number; figures: CanaryFigure[] } | null;
  problems: RunProblem[];
  failure: string | null;
}

/** What a run is before anything has happened. */
export type RunOutline = Pick<LiveRun, 'recipe' | 'output' | 'layers' | 'estimated_bytes' | 'canary'>;

/** What a page keeps of its run over a reload of the window: the rest is on the disk. */
export const outlineOf = ({ recipe, output, layers, estimated_bytes, canary }: LiveRun): RunOutline => ({
  recipe,
  output,
  layers: layers.map((layer) => ({ ...layer, metrics: null })),
  estimated_bytes,
  canary: canary && { ...canary, figures: [] },
});

const isOutline = withFields({
  recipe: isText,
  output: isText,
  layers: listOf(withFields({ name: isText, role: isText, block: orNull(isNumber) })),
  estimated_bytes: isNumber,
  canary: orNull(withFields({ max_mean_kld: isNumber, every: isNumber })),
});

/** null where a page has kept something else. */
export const readOutline = (value: unknown): RunOutline | null => (isOutline(value) ? outlineOf(freshRun(value as RunOutline)) : null);

export const freshRun = (known: RunOutline): LiveRun => ({
  ...known,
  device: null,
  outcome: 'running',
  fraction: 0,
  eta_seconds: null,
  message: '',
  n_blocks: 0,
  resumed_blocks: 0,
  stages: [],
  memory: null,
  problems: [],
  failure: null,
});

export function beginLiveRun(plan: QuantizationPlan, recipe: string): LiveRun {
  const pruned = new Set(plan.pruning.flatMap(({ layers }) => layers.map((layer) => (typeof layer === 'string' ? layer : layer.name))));
  return freshRun({
    recipe,
    output: plan.output.dir,
    layers: plan.layers
      .filter(({ name, quantizer }) => quantizer !== null || pruned.has(name))
      .map(({ name, role, block }) => ({ name, role, block, metrics: null })),
    estimated_bytes: memoryNeedOf(plan).peak_memory_bytes,
    canary: plan.canary ? { max_mean_kld: plan.canary.max_mean_kld, every: plan.canary.every, figures: [] } : null,
  });
}

/** The run with these layers finished; those that the outline does not have come last. */
export function withFinished(run: LiveRun, finished: readonly LayerMetrics[]): LiveRun {
  const found = new Map(finished.map((metrics) => [metrics.name, metrics]));
  const layers = run.layers.map((layer) => ({ ...layer, metrics: found.get(layer.name) ?? layer.metrics }));
  const known = new Set(layers.map(({ name }) => name));
  const others = finished.filter(({ name }) => !known.has(name));
  return {
    ...run,
    layers: [...layers, ...others.map((metrics) => ({ name: metrics.name, role: metrics.role, block: metrics.block, metrics }))],
  };
}

/** The run after an event. */
export function afterEvent(run: LiveRun, event: RunEvent): LiveRun {
  switch (event.kind) {
    case 'run-began':
      return { ...run, device: event.device, n_blocks: event.n_blocks, resumed_blocks: event.resumed_blocks };
    case 'stage-began':
      return { ...run, stages: changed(run.stages, event.stage, (stage) => ({ ...stage, isRunning: true })) };
    case 'stage-ended':
      return {
        ...run,
        memory: event.memory,
        stages: changed(run.stages, event.stage, (stage) => ({
          ...stage,
          isRunning: false,
          n_done: stage.n_done + 1,
          n_blocks_done: stage.n_blocks_done + (event.block === null ? 0 : 1),
          seconds: stage.seconds + event.seconds,
        })),
      };
    case 'progress':
      return { ...run, fraction: event.fraction, eta_seconds: event.eta_seconds, message: event.message };
    case 'layer-finished':
      return withFinished(run, [event.layer]);
    case 'canary-measured':
      return { ...run, canary: run.canary && { ...run.canary, figures: [...run.canary.figures, event.figure] } };
    case 'problem':
      return { ...run, problems: [...run.problems, event.problem] };
    case 'run-ended':
      return {
        ...run,
        outcome: event.outcome,
        fraction: event.outcome === 'completed' ? 1 : run.fraction,
        eta_seconds: null,
        stages: run.stages.map((stage) => ({ ...stage, isRunning: false })),
        failure: event.failure?.message ?? null,
      };
  }
}

function changed(stages: readonly LiveStage[], name: RunStage, change: (stage: LiveStage) => LiveStage): LiveStage[] {
  const known = stages.find((stage) => stage.name === name);
  if (known === undefined) return [...stages, change({ name, n_done: 0, n_blocks_done: 0, seconds: 0, isRunning: false })];
  return stages.map((stage) => (stage === known ? change(stage) : stage));
}

/** Of what is done once for each block: the mean so far times the blocks to come. null: it cannot be said. */
export function stageSecondsLeft(run: LiveRun, { n_done, n_blocks_done, seconds, isRunning }: LiveStage): number | null {
  if (run.outcome !== 'running') return null;
  if (n_blocks_done === 0) return null;
  const per_block = run.n_blocks === 0 ? 0 : Math.round(n_blocks_done / Math.max(1, finishedBlocks(run)));
  const n_left = Math.max(isRunning ? 1 : 0, per_block * (run.n_blocks - run.resumed_blocks) - n_blocks_done);
  return (seconds / n_done) * n_left;
}

const finishedBlocks = (run: LiveRun): number => {
  const blocks = new Set(run.layers.flatMap(({ block, metrics }) => (block === null || metrics === null ? [] : [block])));
  return Math.max(0, blocks.size - run.resumed_blocks);
};
