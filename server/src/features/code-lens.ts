// The line above the model: what the plan makes of its size.
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { TextRange } from '../../../schemas/src/problem.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';

export interface Lens {
  range: TextRange;
  title: string;
}

export function codeLens(document: RecipeDocument, plan: QuantizationPlan | null): Lens[] {
  if (plan === null) return [];
  const stage = Object.keys(document.value).find((key) => key.endsWith('_stage') && document.has([key]));
  if (stage === undefined) return [];
  const { weights_bytes_before: before, weights_bytes_after: after, bits_per_weight: bits } = plan.estimate;
  const layers = plan.layers.filter((layer) => layer.scheme !== null).length;
  return [
    {
      range: document.rangeOf([stage], 'key'),
      title: `${layers} of ${plan.layers.length} layers: ${megabytes(before)} → ${megabytes(after)} (${bits.toFixed(2)} bits per quantized weight)`,
    },
  ];
}

function megabytes(bytes: number): string {
  const [value, unit] = bytes < 1e9 ? [bytes / 1e6, 'MB'] : [bytes / 1e9, 'GB'];
  return `${value.toPrecision(3)} ${unit}`;
}
