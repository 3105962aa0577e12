// Where a quantized model breaks: the first layer whose output is more than a tenth error, and the layer to change. The one answer for page and command line.
import type { ErrorDepth, LayerError } from './generated/report.js';
import { percent } from './number-text.js';

/** Share of the squared output: at a tenth the output stands 10 dB above its error. */
export const divergenceLimit = 0.1;

export type ErrorPart = 'weight' | 'activation' | 'propagated';

export const errorParts: readonly { key: ErrorPart; name: string; definition: string }[] = [
  {
    key: 'weight',
    name: 'Weights',
    definition: 'What the layer’s own weights add, on the inputs of the model before: |(W′x + b′) − (Wx + b)|² / |y|².',
  },
  { key: 'activation', name: 'Activations', definition: 'What the rounding of its inputs adds: |W′Q(x′) − W′x′|² / |y|².' },
  { key: 'propagated', name: 'Propagated', definition: 'What the layers before have handed on: |W′x′ − W′x|² / |y|².' },
];

export interface Divergence {
  /** First in the order of work. */
  layer: LayerError;
  /** null: one of them is not finite. */
  largest: ErrorPart | null;
  /** The layer to change: itself, or where its error is mostly handed on, the one up to it with the largest own error. */
  source: LayerError;
}

const own = ({ weight, activation }: LayerError): number => (weight ?? Infinity) + (activation ?? Infinity);

/** Of equal ones the first. */
const largestBy = <T>(values: readonly T[], of: (value: T) => number): T | undefined =>
  values.reduce<T | undefined>((best, value) => (best === undefined || of(value) > of(best) ? value : best), undefined);

export function firstDivergence({ layers }: ErrorDepth): Divergence | null {
  const at = layers.findIndex(({ total }) => total === null || total > divergenceLimit);
  const layer = layers[at];
  if (layer === undefined) return null;
  const parts = errorParts.map(({ key }) => key);
  const largest = parts.some((part) => layer[part] === null) ? null : (largestBy(parts, (part) => layer[part] ?? 0) ?? null);
  const source = largest === 'propagated' ? (largestBy(layers.slice(0, at + 1), own) ?? layer) : layer;
  return { layer, largest, source };
}

const partText: Readonly<Record<ErrorPart, string>> = {
  weight: 'its own weights',
  activation: 'the rounding of its inputs',
  propagated: 'the layers before',
};

/** One sentence or two: which layer, how far, and where it comes from. */
export function divergenceText(depth: ErrorDepth): string {
  const found = firstDivergence(depth);
  const limit = percent(divergenceLimit);
  if (found === null) {
    const worst = largestBy(depth.layers, ({ total }) => total ?? 0);
    if (worst === undefined) return 'No linear was compared.';
    return `No layer diverges: the largest error of an output is ${percent(worst.total ?? 0)} of its square, in ${worst.name}; from ${limit} on it would.`;
  }
  const { layer, largest, source } = found;
  if (layer.total === null || largest === null)
    return `${layer.name} is the first layer that diverges: its output or its error is not finite.`;
  const first = `${layer.name} is the first layer that diverges: the error of its output is ${percent(layer.total)} of its square (limit ${limit}), most of it from ${partText[largest]} (${percent(layer[largest] ?? 0)}).`;
  if (source === layer) return first;
  return `${first} Up to it ${source.name} adds the most by itself (weights ${percent(source.weight ?? 0)}, activations ${percent(source.activation ?? 0)}).`;
}
