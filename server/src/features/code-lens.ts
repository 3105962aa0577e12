// The lines above a recipe's stage: what the plan makes of its size and memory, and what can be done with it.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { memoryNeedOf } from '../../../schemas/src/device-choice.js';
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { TextRange } from '../../../schemas/src/problem.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';

export interface Lens {
  range: TextRange;
  title: string;
  /** Command of the host that a click runs; null: the line only tells. */
  action: 'quantize' | 'showPlan' | null;
}

/** `withActions`: the host has the commands. */
export function codeLens(document: RecipeDocument, plan: QuantizationPlan | null, withActions: boolean): Lens[] {
  if (plan === null) return [];
  const stage = Object.keys(document.value).find((key) => key.endsWith('_stage') && document.has([key]));
  if (stage === undefined) return [];
  const range = document.rangeOf([stage], 'key');
  const { weights_bytes_before: before, weights_bytes_after: after, bits_per_weight: bits } = plan.estimate;
  const layers = plan.layers.filter((layer) => layer.scheme !== null).length;
  const facts = `${layers} of ${plan.layers.length} layers: ${bytesText(before)} → ${bytesText(after)} (${bits.toFixed(2)} bits per quantized weight), peak memory about ${bytesText(memoryNeedOf(plan).peak_memory_bytes)}`;
  const actions: Lens[] = withActions
    ? [
        { range, title: '$(play) Quantize', action: 'quantize' },
        { range, title: '$(list-tree) Show plan', action: 'showPlan' },
      ]
    : [];
  return [...actions, { range, title: facts, action: null }];
}
