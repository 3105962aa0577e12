// The controls of the heatmap in the page: what they say, and what the user sets them to.
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { element } from '../page-parts.js';
import type { PageState } from './state.js';
import { bitsOf, filterError, type HeatView } from './view.js';

export const on = (id: string, event: string, listener: () => void): void => element(id).addEventListener(event, listener);
export const valueOf = (id: string): string => element<HTMLInputElement>(id).value;
export const isChecked = (id: string): boolean => element<HTMLInputElement>(id).checked;

export function showControls(state: PageState, analysis: SensitivityAnalysis, { figure }: HeatView): void {
  const values: [string, string][] = [
    ['figure', figure.key],
    ['bits', String(state.bits === 'all' ? 'all' : bitsOf(analysis, state))],
    ['scale', state.scale],
    ['over', state.over],
    ['order', state.order],
    ['filter', state.filter],
  ];
  for (const [id, value] of values) if (valueOf(id) !== value) element<HTMLInputElement>(id).value = value;
  element<HTMLSelectElement>('bits').disabled = !figure.ofBits;
  element<HTMLInputElement>('regular-expression').checked = state.regularExpression;
  element<HTMLInputElement>('siblings').checked = state.siblings;
  element<HTMLInputElement>('preview').checked = state.preview;
  const error = filterError(state);
  element('filter-error').hidden = error === null;
  element('filter-error').textContent = error ?? '';
  element('filter').setAttribute('aria-invalid', String(error !== null));
}

export function wireControls(choose: (part: Partial<PageState>) => void): void {
  on('figure', 'change', () => choose({ figure: valueOf('figure') }));
  on('bits', 'change', () => choose({ bits: valueOf('bits') === 'all' ? 'all' : Number(valueOf('bits')) }));
  on('scale', 'change', () => choose({ scale: valueOf('scale') as PageState['scale'] }));
  on('over', 'change', () => choose({ over: valueOf('over') as PageState['over'] }));
  on('order', 'change', () => choose({ order: valueOf('order') as PageState['order'] }));
  on('filter', 'input', () => choose({ filter: valueOf('filter') }));
  on('regular-expression', 'change', () => choose({ regularExpression: isChecked('regular-expression') }));
}
