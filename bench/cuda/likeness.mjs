// How alike two runs of one recipe have to be on the processor and on a device, by what the method does with a difference in the last bits.
//
// The CUDA backend is to give layer errors equal to 1 % and perplexity to 0.2 %, which methods hold whose codes follow from their inputs without a jump. A solver spreads
// every rounding error over the columns behind it: a code at a tie falls the other way, and all behind it in its row with it. Its bounds for layers are those of
// test/worker/run/two-backends.test.ts, which stand there for the same model. The processor itself does it, with other kernels of its BLAS (recipes.mjs --kernels).
import { layerErrors } from './compare-runs.mjs';

export const perCent = (part) => `${Number((100 * part).toPrecision(3))} %`;
const ofFirstBlock = (name) => name.startsWith('model.layers.0.');
const isFirstInput = (name) => /\.layers\.0\..*\.[qkv]_proj$/.test(name);

/** What is demanded of all. */
const demanded = { layer: 0.01, perplexity: 0.002 };

/** `layer`: of a layer's error; `sum`: of all of them; `perplexity`. */
export const kinds = {
  exact: { says: 'rounds what needs no sum: the same bytes', layer: () => 1e-4, sum: 1e-4, perplexity: 0.002 },
  close: { says: 'layer errors equal to 1 %', layer: () => 0.01, sum: 0.01, perplexity: 0.002 },
  chaotic: {
    says: 'rounding errors are spread: layer errors equal to 10 %, their sum to 1 %',
    layer: () => 0.1,
    sum: 0.01,
    perplexity: 0.01,
  },
  drifting: {
    says: 'layer errors of the first block equal to 1 %, of others to 30 %, their sum to 5 %',
    layer: (name) => (ofFirstBlock(name) ? 0.01 : 0.3),
    sum: 0.05,
    perplexity: 0.01,
  },
  corrected: {
    says: 'aims past the errors of the layers before: layer errors of the first q, k and v equal to 1 %, of the first block to 10 %, of others to 30 %, their sum to 5 %',
    layer: (name) => (isFirstInput(name) ? 0.01 : ofFirstBlock(name) ? 0.1 : 0.3),
    sum: 0.05,
    perplexity: 0.01,
  },
  // Other codebooks are another draw of the k-means: bench/quality/results.md has six seeds of this example, whose sum of output errors has a standard deviation of
  // 0.006 / 1.092 and whose perplexity one of 0.020 / 1.777. The difference of two draws has √2 of that, and three times as much is the bound.
  drawn: {
    says: 'other codebooks where a draw falls the other way: the sum of layer errors equal to 2.3 % and perplexity to 4.8 %, three standard deviations of two draws',
    layer: () => 0.3,
    sum: 0.023,
    perplexity: 0.048,
  },
};

/** By the modifiers of a recipe's text. */
export function kindOf(recipe) {
  const text = recipe.replace(/^\s*#.*$/gm, '');
  const has = (...names) => names.some((name) => new RegExp(`^\\s+${name}Modifier:`, 'm').test(text));
  if (has('VPTQ')) return 'drawn';
  if (has('GPFQ', 'Qronos') || (has('Beacon') && /error_correction: true/.test(text))) return 'corrected';
  if (has('Beacon')) return 'drifting';
  if (has('GPTQ', 'SparseGPT', 'COMQ')) return 'chaotic';
  // HQQ raises to a power in every step, which libraries of mathematics round each their own way.
  return has('HQQ') || /^calibration:/m.test(text) ? 'close' : 'exact';
}

/** Of these the codes may differ, and a text says only so much about two files that differ. */
export const isSpread = (kind) => kind !== 'exact' && kind !== 'close';

/**
 * What is outside of the bounds, in sentences, and whether all holds what is demanded of the backend. Perplexities of files that differ: each has a standard error on the
 * text, as the logarithm of its ratio to the model's own; two of the same quality differ by √(s² + s'²) or less, since both see one text. Three times that is the bound
 * where it is the greater one, as it is on few tokens.
 */
export function judge(kind, figures) {
  const { layer: boundOf, sum, perplexity } = kinds[kind];
  const outside = [];
  const tell = (what, value, bound) => value <= bound || outside.push(`${what} by ${perCent(value)}, at most ${perCent(bound)} is allowed`);
  for (const key of layerErrors) {
    for (const { layer, change: value } of figures[key].layers) tell(`${key} of ${layer} differs`, value, boundOf(layer));
    tell(`the sum of ${key} over all layers differs`, figures[key].sum, sum);
  }
  const noise = isSpread(kind) && figures.ln_ratio_stderr ? 3 * Math.hypot(figures.ln_ratio_stderr.cpu, figures.ln_ratio_stderr.cuda) : 0;
  const bound = Math.max(perplexity, Math.expm1(noise));
  if (figures.perplexity.cpu === null || figures.perplexity.cuda === null) outside.push('a run has measured no perplexity');
  else tell('perplexity differs', figures.perplexity.change, bound);
  const { pieces, pieces_apart, apart } = figures.checkpoint;
  if (kind === 'exact' && pieces_apart > 0)
    outside.push(`${pieces_apart} of ${pieces} files and tensors have other bytes: ${apart.slice(0, 3).join(', ')}`);
  const isAsDemanded =
    figures.relative_output_error.layers.every(({ change: value }) => value <= demanded.layer) &&
    figures.perplexity.change <= demanded.perplexity;
  return { outside, perplexity_bound: bound, is_as_demanded: isAsDemanded };
}

/** One line of it. */
export function inWords(figures, { perplexity_bound: bound }) {
  const { checkpoint, perplexity } = figures;
  const errors = layerErrors.flatMap((key) => {
    const { worst, mean, sum } = figures[key];
    return worst === null
      ? []
      : `${key} ${perCent(worst.change)} at most (${worst.layer}), ${perCent(mean)} in the mean, ${perCent(sum)} of the sum`;
  });
  const bytes =
    checkpoint.pieces_apart === 0
      ? 'the same bytes'
      : `${checkpoint.pieces_apart} of ${checkpoint.pieces} files and tensors differ (${perCent(checkpoint.bytes_apart / checkpoint.bytes)} of the bytes)`;
  return [
    bytes,
    ...errors,
    `perplexity ${perplexity.cpu?.toFixed(4)} and ${perplexity.cuda?.toFixed(4)} (${perCent(perplexity.change)}, at most ${perCent(bound)})`,
  ].join('; ');
}
