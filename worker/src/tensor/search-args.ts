// Observers that schemes name → the search of a range that carries them out, with llm-compressor 0.13's defaults and the keyword arguments of a scheme.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import type { WeightArgs } from './grid-args.js';

/** The search of a range, see worker/native/quantizers/range-search.h; minmax ignores all but its name. */
export interface RangeSearchArgs {
  observer: 'minmax' | 'mse' | 'imatrix';
  maxshrink: number;
  patience: number;
  grid: number;
  norm: number;
  /** The range that the search begins with, as a multiple of the extremes; left out: 1. */
  expand?: number;
}

export interface WeightObserverArgs extends WeightArgs, RangeSearchArgs {}

const mse = { observer: 'mse', maxshrink: 0.2, patience: 5, grid: 100, norm: 2.4, expand: 1 } as const;

/** Moving averages and running extremes look at one row, or at a weight, as their memoryless twins do. */
const searches: Readonly<Record<string, RangeSearchArgs>> = {
  memoryless_minmax: { ...mse, observer: 'minmax' },
  static_minmax: { ...mse, observer: 'minmax' },
  minmax: { ...mse, observer: 'minmax' },
  memoryless_mse: mse,
  mse,
  nvfp4_expanded_mse: { ...mse, expand: 1.8, maxshrink: 1 - 0.8 / 1.8, grid: 200, patience: 1000 },
  imatrix_mse: { observer: 'imatrix', maxshrink: 0.95, patience: 5, grid: 20, norm: 3, expand: 1 },
};

export const searchedObservers: readonly string[] = Object.keys(searches);

/** What the observer takes beside the numbers of its search. */
const otherArguments: Readonly<Record<string, readonly string[]>> = {
  minmax: ['averaging_constant'],
  // chunk_size cuts llm-compressor's compiled search into pieces and changes no result.
  memoryless_mse: ['chunk_size'],
  mse: ['chunk_size', 'averaging_constant'],
  nvfp4_expanded_mse: ['chunk_size'],
  imatrix_mse: ['strict'],
};

/** The search that a scheme asks for; throws what the plan must not say. */
export function rangeSearch(layer: string, { observer, observer_kwargs }: QuantizationArgs): RangeSearchArgs {
  const name = observer ?? 'memoryless_minmax';
  const known = searches[name];
  if (known === undefined) throw runFailure.planInvalid(`${layer} asks for the observer ${name}, which this version does not have`);
  const search = { ...known };
  if (search.observer === 'minmax') return search;
  for (const [key, value] of Object.entries(observer_kwargs)) {
    if (key !== 'observer' && key in search && typeof value === 'number') Object.assign(search, { [key]: value });
    else if (!otherArguments[name]?.includes(key))
      throw runFailure.planInvalid(`${layer} gives its observer ${key}: ${value}, which this version does not have`);
  }
  return search;
}
