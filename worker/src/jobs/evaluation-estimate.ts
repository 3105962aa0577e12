// Multiply-adds of evaluations, both models together: what progress and the time left are told from. Rows are counted when they are tokenized; before
// that, four bytes of text are taken for a token.
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';

export type EvaluationKind = 'perplexity' | 'kl_divergence' | 'multiple_choice' | 'generation';

export const evaluationKinds: readonly EvaluationKind[] = ['perplexity', 'kl_divergence', 'multiple_choice', 'generation'];

/** Bytes of a question with its answer, about, in MMLU and GSM8K. */
const questionBytes = 500;

export function evaluationOperations({ evaluate, layers }: QuantizationPlan, kind: EvaluationKind): number {
  const weights = layers.reduce((sum, layer) => sum + layer.rows * layer.columns, 0);
  return 2 * tokensOf(evaluate, kind) * weights;
}

function tokensOf(evaluate: QuantizationPlan['evaluate'], kind: EvaluationKind): number {
  if (!evaluate?.[kind]) return 0;
  if (kind === 'perplexity' || kind === 'kl_divergence') return (evaluate[kind]?.bytes ?? 0) / 4;
  const task = evaluate[kind];
  if (task === null) return 0;
  const questions = Math.min(task.num_samples ?? Infinity, Math.max(1, task.dataset.bytes / questionBytes));
  const read = (questions * (1 + task.num_fewshot) * questionBytes) / 4;
  return 'max_gen_toks' in task ? read + questions * task.max_gen_toks : read;
}
