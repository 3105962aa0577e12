// How much work the units of a plan are, for progress and the time left.
import { depthOperations } from '../../../schemas/src/depth-operations.js';
import { needsPairs } from '../../../schemas/src/modifiers.js';
import type { RunContext } from '../run-context.js';
import { transformPasses, type WorkUnit } from './layer-jobs.js';
import {
  evaluateOperations,
  forwardOperations,
  inputsOf,
  observeOperations,
  quantizeOperations,
  searchOperations,
} from './operations-estimate.js';

/** One pass of the rows for each kind of transform, and one for the quantizer, or for each of its steps; searches are counted apart. */
const passesOf = (unit: WorkUnit): number => (unit.layers.length === 0 ? 0 : transformPasses(unit).length + stepsOf(unit));

/** Linears with one input are a step where errors are corrected (quantized-so-far.ts). */
const stepsOf = ({ block, layers }: WorkUnit): number => (block !== null && layers.some(needsPairs) ? inputsOf(layers).size : 1);

export const observeWork = ({ plan }: RunContext, unit: WorkUnit, n_tokens: number): number => {
  const passes = passesOf(unit);
  return (
    (unit.block === null ? 0 : forwardOperations(plan, unit.block, n_tokens)) + observeOperations(unit, n_tokens) / Math.max(1, passes)
  );
};

/** Resuming passes the rows through the finished blocks again, so only the rest of their work is counted as done. */
export function expectWork(context: RunContext, units: readonly WorkUnit[], n_finished: number, n_tokens: number, canary = 0): void {
  const { plan } = context;
  let [total, done] = [evaluateOperations(plan) + depthOperations(plan) + canary, 0];
  for (const unit of units) {
    const searches = transformPasses(unit).flatMap((pass) => (pass.name === 'awq' ? pass.mappings : []));
    const searching = searches.reduce((sum, search) => sum + searchOperations(plan, search, n_tokens), 0);
    const work = quantizeOperations(unit.layers) + searching + passesOf(unit) * observeWork(context, unit, n_tokens);
    const passesOfRows = plan.layers.some(needsPairs) ? 2 : 1;
    total += work + (unit.block === null ? 0 : passesOfRows * forwardOperations(plan, unit.block, n_tokens));
    if (unit.index < n_finished) done += work;
  }
  context.expectOperations(total, done);
}
