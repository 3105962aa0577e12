// What the user has chosen on the sensitivity page, and how much of a saved state can be believed: it may be of another version.
import type { SensitivityPage } from '../../../schemas/src/protocol/client-webview.js';
import type { LossMetric } from '../../../schemas/src/suggest-bits.js';
import type { Choice } from './view.js';

export interface PageState extends Choice {
  selected: string[];
  active: { row: number; column: number };
  siblings: boolean;
  budget: number | null;
  loss: LossMetric | null;
  preview: boolean;
  table: boolean;
  /** What the host opens again after a reload of the window. */
  saved: SensitivityPage | null;
}

export const initialState: PageState = {
  figure: '',
  bits: 4,
  scale: 'log',
  over: 'all',
  order: 'depth',
  filter: '',
  regularExpression: false,
  selected: [],
  active: { row: 0, column: 0 },
  siblings: true,
  budget: null,
  loss: null,
  preview: false,
  table: false,
  saved: null,
};

/** Fields of the same kind as at first are taken over. */
export function restored(saved: unknown): PageState {
  if (typeof saved !== 'object' || saved === null) return initialState;
  const fields = Object.entries(saved).filter(([key, value]) => {
    const first = (initialState as unknown as Record<string, unknown>)[key];
    if (first === undefined) return false;
    if (key === 'bits') return value === 'all' || Number.isInteger(value);
    if (key === 'selected') return Array.isArray(value) && value.every((name) => typeof name === 'string');
    return first === null || typeof value === typeof first;
  });
  return { ...initialState, ...(Object.fromEntries(fields) as Partial<PageState>) };
}
