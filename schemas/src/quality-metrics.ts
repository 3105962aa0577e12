// The figures of an evaluation: name, definition, unit, source, and where a report has them. The one list for the end of a run in a terminal and for
// the report's page. Sources: what the figure is compared with when somebody measures it elsewhere.
import type { Generation, KlDivergence, MultipleChoice, RunReport } from './generated/report.js';

export type Quality = NonNullable<RunReport['quality']>;

export interface QualityMetric {
  key: string;
  name: string;
  definition: string;
  unit: string;
  source: string;
  /** Of the model before and of the written file; null: not measured, or a comparison of both that has no "before". */
  valueOf(quality: Quality): { before: number | null; after: number | null };
  format(value: number): string;
  /** What stands beside it: how much was measured. */
  extent(quality: Quality): string;
}

const llamaCpp = 'llama.cpp, perplexity tool with --kl-divergence';
const lmEval = 'lm-eval 0.4';
const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
const nats = (value: number): string => (Math.abs(value) >= 1e-4 || value === 0 ? value.toFixed(6) : value.toExponential(2));
const counted = (count: number | undefined, what: string): string => `${(count ?? 0).toLocaleString('en')} ${what}`;

const divergence = (
  key: string,
  name: string,
  definition: string,
  unit: string,
  value: (divergence: KlDivergence) => number,
): QualityMetric => ({
  key,
  name,
  definition,
  unit,
  source: llamaCpp,
  valueOf: ({ kl_divergence }) => ({ before: null, after: kl_divergence ? value(kl_divergence) : null }),
  format: unit === 'nats' ? nats : percent,
  extent: ({ kl_divergence }) => counted(kl_divergence?.tokens, 'tokens'),
});

const ofTask = <K extends 'multiple_choice' | 'generation'>(
  task: K,
  key: K extends 'generation' ? keyof Generation : keyof MultipleChoice,
  name: string,
  definition: string,
): QualityMetric => ({
  key: String(key),
  name,
  definition,
  unit: '% of the questions',
  source: lmEval,
  valueOf: (quality) => {
    const value = (score: Generation | MultipleChoice | null | undefined): number | null => {
      const found = score === null || score === undefined ? null : (score as unknown as Record<string, unknown>)[String(key)];
      return typeof found === 'number' ? found : null;
    };
    return { before: value(quality[task]?.before), after: value(quality[task]?.after) };
  },
  format: percent,
  extent: (quality) => counted((quality[task]?.after ?? quality[task]?.before)?.questions, 'questions'),
});

export const qualityMetrics: readonly QualityMetric[] = [
  {
    key: 'perplexity',
    name: 'Perplexity',
    definition: 'exp of the mean negative log-likelihood per predicted token, measured on the written file; lower is better',
    unit: '1',
    source: 'transformers, per document: BOS once, cut at max_seq_length',
    valueOf: ({ before, after }) => ({ before: before?.perplexity ?? null, after: after?.perplexity ?? null }),
    format: (value) => value.toFixed(4),
    extent: ({ before, after }) => counted((after ?? before)?.tokens, 'tokens'),
  },
  divergence(
    'mean_kld',
    'KL divergence',
    'Mean over the predicted tokens of KL(P ‖ Q) = Σ P (ln P − ln Q), P of the original model, Q of the written file; 0 is the same model',
    'nats',
    ({ mean_kld }) => mean_kld,
  ),
  divergence('kld_p99', 'KL divergence, 99 %', 'What 99 of 100 predicted tokens stay below', 'nats', ({ kld }) => kld.p99),
  divergence(
    'rms_delta_p',
    'RMS Δp',
    'Root of the mean square of Δp = Q(token) − P(token), the change of the probability of the token that stands in the text; lower is better',
    '% of probability',
    ({ rms_delta_p }) => rms_delta_p,
  ),
  divergence(
    'delta_p_p1',
    'Δp, 1 %',
    'One token in a hundred lost more of its probability than this',
    '% of probability',
    ({ delta_p }) => delta_p.p1,
  ),
  divergence(
    'same_top',
    'Same top token',
    'Share of the predicted tokens for which both models have the same most probable token; higher is better',
    '% of the tokens',
    ({ same_top }) => same_top,
  ),
  ofTask(
    'multiple_choice',
    'acc',
    'Multiple choice (acc)',
    'Questions whose right choice has the highest log-likelihood; higher is better',
  ),
  ofTask(
    'multiple_choice',
    'acc_norm',
    'Multiple choice (acc_norm)',
    'The same with log-likelihoods divided by the characters of the choice; the same number where the choices are letters',
  ),
  ofTask(
    'generation',
    'exact_match_strict',
    'Exact match (strict)',
    'Questions whose generated answer has the right number behind its first ####; higher is better',
  ),
  ofTask(
    'generation',
    'exact_match_flexible',
    'Exact match (flexible)',
    'Questions whose generated answer has the right number as its last; higher is better',
  ),
];
