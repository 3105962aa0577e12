// An error through depth for the pictures' tests: parts that follow a rule, so that a reader can check a drawing by eye.
import type { ErrorDepth, LayerMetrics } from '../../schemas/src/generated/report.js';

/** Layer i of n: weights 1 %, activations 0.5 %, propagated 12 % · i / n, and what they have together. Behind block b the hidden states are 0.4 % · (b + 1) off. */
export function errorDepth(layers: readonly LayerMetrics[], changes: Partial<ErrorDepth> = {}): ErrorDepth {
  const blocks = [...new Set(layers.flatMap(({ block }) => (block === null ? [] : [block])))];
  return {
    dataset: '/data/rows.jsonl',
    rows: 8,
    tokens: 2040,
    blocks: [{ block: null, error: 0 }, ...blocks.map((block) => ({ block, error: 0.004 * (block + 1) }))],
    layers: layers.map(({ name, block }, i) => {
      const propagated = (0.12 * i) / layers.length;
      return { name, block, weight: 0.01, activation: 0.005, propagated, total: 0.015 + propagated };
    }),
    ...changes,
  };
}
