// What a recipe may demand of its result (`gates`): each gate with the figure that it looks at, and what the recipe must measure for it.
import { bytesText } from './bytes-text.js';
import type { GatesPlan } from './generated/plan.js';
import type { RunReport } from './generated/report.js';

export type GateKey = keyof GatesPlan;

export interface GateFacts {
  key: GateKey;
  /** What is looked at, in a sentence. */
  figure: string;
  /** The part of evaluate that measures it; null: known without a measure. */
  measuredBy: 'perplexity' | 'kl_divergence' | null;
  isLeast: boolean;
  /** Null: not measured. */
  valueOf(result: Pick<RunReport, 'size' | 'quality'>): number | null;
  format(value: number): string;
}

const plain = (value: number): string => String(Number(value.toPrecision(6)));

export const gateFacts: readonly GateFacts[] = [
  {
    key: 'max_size',
    figure: 'the size of all tensors',
    measuredBy: null,
    isLeast: false,
    valueOf: ({ size }) => size.weights_bytes_after,
    format: bytesText,
  },
  {
    key: 'max_bits_per_weight',
    figure: 'the bits per weight of the quantized layers',
    measuredBy: null,
    isLeast: false,
    valueOf: ({ size }) => size.bits_per_weight,
    format: plain,
  },
  {
    key: 'max_perplexity',
    figure: 'the perplexity of the written file',
    measuredBy: 'perplexity',
    isLeast: false,
    valueOf: ({ quality }) => quality?.after?.perplexity ?? null,
    format: plain,
  },
  {
    key: 'max_perplexity_change',
    figure: 'the change of the perplexity',
    measuredBy: 'perplexity',
    isLeast: false,
    valueOf: ({ quality }) => (quality?.after && quality.before ? quality.after.perplexity - quality.before.perplexity : null),
    format: plain,
  },
  {
    key: 'max_mean_kld',
    figure: 'the mean KL divergence',
    measuredBy: 'kl_divergence',
    isLeast: false,
    valueOf: ({ quality }) => quality?.kl_divergence?.mean_kld ?? null,
    format: (value) => `${plain(value)} nats`,
  },
  {
    key: 'min_same_top',
    figure: 'the share of tokens with the same top token',
    measuredBy: 'kl_divergence',
    isLeast: true,
    valueOf: ({ quality }) => quality?.kl_divergence?.same_top ?? null,
    format: plain,
  },
];

export const holds = ({ isLeast }: GateFacts, value: number, limit: number): boolean => (isLeast ? value >= limit : value <= limit);

export interface JudgedGate {
  facts: GateFacts;
  limit: number;
  value: number;
  holds: boolean;
}

/** The gates that are set, in the order of the list. What was to be measured and was not is an error of the run, so it does not come here. */
export function judgeGates(gates: GatesPlan | null | undefined, result: Pick<RunReport, 'size' | 'quality'>): JudgedGate[] {
  return gateFacts.flatMap((facts) => {
    const limit = gates?.[facts.key] ?? null;
    const value = facts.valueOf(result);
    return limit === null || value === null ? [] : [{ facts, limit, value, holds: holds(facts, value, limit) }];
  });
}

/** `max_size 4.0 GB, min_same_top 0.95`; empty where none is set. */
export const gatesText = (gates: GatesPlan | null): string =>
  gateFacts
    .flatMap(({ key, format }) => {
      const limit = gates?.[key] ?? null;
      return limit === null ? [] : [`${key} ${format(limit)}`];
    })
    .join(', ');

/** `max_size: the size of all tensors is 1.2 GB, at most 1.0 GB is allowed`. */
export const gateText = ({ facts, limit, value }: Omit<JudgedGate, 'holds'>): string =>
  `${facts.key}: ${facts.figure} is ${facts.format(value)}, ${facts.isLeast ? 'at least' : 'at most'} ${facts.format(limit)} is wanted`;
