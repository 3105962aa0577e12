// What a canary has seen, in words: the one answer for the pages, the terminal and the plan.
import type { CanaryPlan } from './generated/plan.js';
import type { CanaryFigure } from './generated/report.js';
import { trim } from './number-text.js';

export interface Canary {
  max_mean_kld: number;
  every: number;
  figures: readonly CanaryFigure[];
}

export const canaryDefinition =
  'Mean over the predicted tokens of KL(P ‖ Q) = Σ P (ln P − ln Q), in nats: P of the model, Q of the model with the blocks up to this one as written and the rest as it was.';

export const natsText = (value: number): string => `${trim(value)} nats`;

const blocksText = (every: number): string => (every === 1 ? 'block' : `${every} blocks`);

/** `0.31 ± 0.02 nats behind block 4, of 0.5 nats at most`. */
export function canarySummary({ max_mean_kld, every, figures }: Canary): string {
  const last = figures.at(-1);
  if (last === undefined) return `not measured yet; every ${blocksText(every)}, ${natsText(max_mean_kld)} at most`;
  const { block, mean_kld, kld_stderr } = last;
  const above = mean_kld > max_mean_kld ? ': too far' : '';
  return `${trim(mean_kld)} ± ${natsText(kld_stderr)} behind block ${block}, of ${natsText(max_mean_kld)} at most${above}`;
}

export const canaryPlanText = ({ max_mean_kld, every }: CanaryPlan): string =>
  `mean KL divergence of ${natsText(max_mean_kld)} at most, measured every ${blocksText(every)}`;
