// The observers that a recipe may name: whose they are, and what they can observe. llm-compressor's are those of 0.13.

export interface ObserverFacts {
  name: string;
  /** Those of bitwright alone are unknown to llm-compressor. */
  origin: 'llm-compressor' | 'bitwright';
  observes: readonly ('weights' | 'inputs')[];
  /** Of calibrated activations it keeps what the last batch says; the name is that of the observer that looks at all of them. */
  lastBatch: string | null;
  /** Completes "percentile: …". */
  does: string;
}

const both = ['weights', 'inputs'] as const;
const of = (name: string, lastBatch: string | null, does: string): ObserverFacts => ({
  name,
  origin: 'llm-compressor',
  observes: both,
  lastBatch,
  does,
});
const own = (name: string, observes: ObserverFacts['observes'], does: string): ObserverFacts => ({
  name,
  origin: 'bitwright',
  observes,
  lastBatch: null,
  does,
});

export const observerFacts: readonly ObserverFacts[] = [
  of('memoryless_minmax', 'static_minmax', 'the extremes; of calibrated inputs those of the last row alone'),
  of('static_minmax', null, 'the extremes of all calibration rows'),
  of('minmax', null, 'a moving average over the extremes of each calibration row'),
  of('memoryless_mse', 'mse', 'the extremes shrunken to the range with the least error; of calibrated inputs that of the last row alone'),
  of('mse', null, 'for inputs a moving average of the ranges with the least error of each row, for weights memoryless_mse'),
  of('nvfp4_expanded_mse', 'mse', 'a search from 1.8 times the extremes down to 0.8 times, for NVFP4'),
  of('imatrix_mse', 'mse', 'for weights a search that weighs the columns by their mean squared input; for inputs all weigh alike'),
  own('percentile', ['inputs'], 'holds 99.99 % of all values, or percentile: of observer_kwargs, and cuts the rest off'),
  own('histogram', ['inputs'], 'the range with the least squared error over the histogram of all rows; integers'),
  own('entropy', ['inputs'], 'the cut that loses the least information, KL divergence as TensorRT describes it; symmetric integers'),
  own('absmean', ['weights'], 'the mean magnitude of the weights that share a scale, for levels ternary and binary'),
];

export const observersOf = (place: 'weights' | 'inputs'): string[] =>
  observerFacts.filter(({ observes }) => observes.includes(place)).map(({ name }) => name);
