// The figures of an analysis that the heatmap can show: what each layer has, for a number of bits or for none, and how it is written. Definitions come from the analysis itself.
import type { CandidateSensitivity, LayerSensitivity, SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { traceText } from '../../../schemas/src/suggest-bits.js';
import { trim } from '../report/metrics.js';

export interface Figure {
  key: string;
  name: string;
  definition: string;
  unit: string;
  source: string;
  /** Measured for every number of bits; else of the layer as it is. */
  ofBits: boolean;
  /** What is worse: more, or less. */
  worse: 'more' | 'less';
  valueOf(layer: LayerSensitivity, bits: number): number | null;
}

type CandidateKey = Exclude<keyof CandidateSensitivity, 'num_bits' | 'scheme' | 'quantizer' | 'bytes'>;
export const candidateKeys: readonly CandidateKey[] = [
  'mean_kld',
  'perplexity_change',
  'fisher_loss',
  'hessian_loss',
  'relative_output_error',
  'weight_mse',
  'weight_sqnr_db',
  'weight_cosine',
];

export const layerFigures: Readonly<Record<string, (layer: LayerSensitivity) => number | null>> = {
  fisher_trace: ({ fisher_trace }) => fisher_trace ?? null,
  hessian_trace: ({ hessian_trace }) => hessian_trace?.value ?? null,
  kurtosis: ({ activations }) => activations?.kurtosis ?? null,
  max_over_median: ({ activations }) => activations?.max_over_median ?? null,
  weight_variance: ({ weight_variance }) => weight_variance,
  hessian_mean_diagonal: ({ hessian_mean_diagonal }) => hessian_mean_diagonal,
};

const betterHigher: ReadonlySet<string> = new Set(['weight_sqnr_db', 'weight_cosine']);

export const candidateOf = (layer: LayerSensitivity, bits: number): CandidateSensitivity | undefined =>
  layer.candidates.find(({ num_bits }) => num_bits === bits);

/** Those that some layer has a value for; what is closest to the quality of the model comes first. */
export function figuresOf({ metrics, layers, bits }: SensitivityAnalysis): Figure[] {
  const orderOf = ({ key }: { key: string }): number => {
    const at = [...candidateKeys, ...Object.keys(layerFigures)].indexOf(key);
    return at < 0 ? Infinity : at;
  };
  return metrics
    .flatMap((metric): Figure[] => {
      const candidateKey = candidateKeys.find((key) => key === metric.key);
      const ofLayer = layerFigures[metric.key];
      const worse = betterHigher.has(metric.key) ? 'less' : 'more';
      if (candidateKey !== undefined)
        return [{ ...metric, ofBits: true, worse, valueOf: (layer, num_bits) => candidateOf(layer, num_bits)?.[candidateKey] ?? null }];
      return ofLayer === undefined ? [] : [{ ...metric, ofBits: false, worse, valueOf: ofLayer }];
    })
    .filter((figure) => layers.some((layer) => bits.some((num_bits) => figure.valueOf(layer, num_bits) !== null)))
    .sort((a, b) => orderOf(a) - orderOf(b));
}

/** Within a sentence: abbreviations and names stay as they are. */
export const nameWithin = ({ name }: Figure): string => (/^[A-Z][a-z]/.test(name) ? name.charAt(0).toLowerCase() + name.slice(1) : name);

const isShare = (figure: Figure): boolean => figure.key === 'relative_output_error';

export const valueText = (figure: Figure, value: number): string =>
  isShare(figure)
    ? `${value === 0 ? '0' : trim(value * 100)} %`
    : figure.key === 'weight_cosine'
      ? String(Number(value.toPrecision(5)))
      : trim(value);

/** With its standard error, where it has one. */
export const layerValueText = (figure: Figure, layer: LayerSensitivity, value: number): string =>
  figure.key === 'hessian_trace' ? traceText(layer) : valueText(figure, value);

/** For the inside of a cell. */
export function shortText(figure: Figure, value: number): string {
  if (figure.key === 'weight_cosine') return value.toFixed(3).replace(/^0/, '');
  const shown = isShare(figure) ? value * 100 : value;
  if (shown === 0) return '0';
  const magnitude = Math.abs(shown);
  return magnitude < 1e-2 || magnitude >= 1e4
    ? shown.toExponential(0).replace('e+', 'e')
    : magnitude >= 100
      ? shown.toFixed(0)
      : String(Number(shown.toPrecision(2)));
}

export const unitText = (figure: Figure): string => (isShare(figure) ? '% of the squared output' : figure.unit === '1' ? '' : figure.unit);

/** 1 is the worst; layers without a value have none. */
export function ranksOf(layers: readonly LayerSensitivity[], figure: Figure, bits: number): Map<string, number> {
  const sign = figure.worse === 'more' ? -1 : 1;
  const values = layers.flatMap((layer) => {
    const value = figure.valueOf(layer, bits);
    return value === null ? [] : [{ name: layer.name, value }];
  });
  values.sort((a, b) => sign * (a.value - b.value));
  const ranks = new Map<string, number>();
  values.forEach(({ name, value }, at) => {
    const before = values[at - 1];
    ranks.set(name, before?.value === value ? (ranks.get(before.name) ?? at + 1) : at + 1);
  });
  return ranks;
}
