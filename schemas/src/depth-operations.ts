// What the error through depth costs: the plan bounds it, its estimate holds it, and a run tells its time left with it.
import type { DatasetPlan, LayerPlan } from './generated/plan.js';

/** A block as each model has it, and each linear four times more: the worker's error-depth.ts. */
const passes = 6;

/** Multiply-adds for one token. */
export const depthOperationsOfToken = (layers: readonly LayerPlan[]): number =>
  passes * layers.reduce((sum, { rows, columns }) => sum + rows * columns, 0);

/** At most: texts may be shorter than the rows of the plan. */
export const depthOperations = ({ depth, layers }: { depth?: DatasetPlan; layers: readonly LayerPlan[] }): number =>
  depth === undefined
    ? 0
    : (depth.num_calibration_samples ?? Infinity) * (depth.max_seq_length ?? Infinity) * depthOperationsOfToken(layers);
