// What the user has chosen on the sensitivity page, and how much of a saved state can be believed: it may be of another version.
import type { SensitivityPage } from '../../../schemas/src/protocol/client-webview.js';
import type { LossMetric } from '../../../schemas/src/suggest-bits.js';
import type { Places } from '../kept-places.js';
import { restoredFields } from '../kept-state.js';
import type { Choice } from './view.js';

export interface PageState extends Choice {
  selected: string[];
  active: { row: number; column: number };
  siblings: boolean;
  budget: number | null;
  loss: LossMetric | null;
  preview: boolean;
  table: boolean;
  places: Places;
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
  places: {},
  saved: null,
};

export function restored(saved: unknown): PageState {
  const state = restoredFields(initialState, { ...(saved as object | null), bits: 4 });
  const { bits } = (saved ?? {}) as { bits?: unknown };
  return {
    ...state,
    bits: bits === 'all' || Number.isInteger(bits) ? (bits as PageState['bits']) : initialState.bits,
    selected: state.selected.every((name) => typeof name === 'string') ? state.selected : [],
  };
}
