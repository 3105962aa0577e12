// The sensitivity page: holds what the user has chosen, draws it, and asks the host for edits of the recipe.
import './sensitivity.css';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { LayerRulesResult } from '../../../schemas/src/protocol/client-server.js';
import { readToWebview, type FromWebview, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import { AllocationError } from '../../../schemas/src/allocate-bits.js';
import { bestMetric, type LossMetric } from '../../../schemas/src/suggest-bits.js';
import { openChannel } from '../channel.js';
import { keepPlaces } from '../kept-places.js';
import { moveFrom } from '../plot/cell-moves.js';
import { drawLegend } from '../plot/cells.js';
import { draw, toDom, toMarkup } from '../plot/element.js';
import { drawMarks } from '../plot/marks.js';
import { placeTooltip } from '../plot/tooltip.js';
import { trim } from '../report/metrics.js';
import { paletteNow, themeNow } from '../theme.js';
import { budgetOf, drawCurve, lossText, type Budget } from './budget.js';
import { unitText, valueText } from './figures.js';
import { createHeatmap, wholePicture, type Heatmap } from './heatmap.js';
import { analysisCsv, cellLabel, drawCellTooltip, drawLayerTable, otherSchemes, summaryText } from './layer-text.js';
import { drawPage } from './page.js';
import { wholeMarks, type Shown } from './picture.js';
import { editsOf, rectangle, withSiblings, worstCells, type Action } from './selection.js';
import { restored, type PageState } from './state.js';
import { bitsOf, filterError, heatView, type HeatCell, type HeatView } from './view.js';

const page = document.getElementById('page') ?? document.body;
let analysis: SensitivityAnalysis | null = null;
let recipeName = '';
let rules: LayerRulesResult | null = null;
let highlighted: ReadonlySet<string> = new Set();
let view: HeatView | null = null;
let heatmap: Heatmap | null = null;
let budget: Budget | null = null;
/** Where a selection that is extended began. */
let anchor: { row: number; column: number } | null = null;

const channel = openChannel<ToWebview, FromWebview>(readToWebview, receive);
let state: PageState = restored(channel.loadState());
const places = keepPlaces(page, state.places, (kept) => change({ places: kept }));
const tooltip = toDom(document, draw('div', { id: 'tooltip', role: 'tooltip', hidden: '' })) as HTMLElement;
document.body.append(tooltip);
new ResizeObserver(() => redraw()).observe(page);
new MutationObserver(() => redraw()).observe(document.body, { attributes: true, attributeFilter: ['class'] });
channel.send({ kind: 'ready' });

const element = <E extends HTMLElement = HTMLElement>(id: string): E => document.getElementById(id) as E;

function receive(message: ToWebview): void {
  if (message.kind === 'show-analysis') {
    ({ analysis, recipeName } = message);
    change({ saved: message.saved });
    budget = null;
    render();
    places.restore();
  } else if (message.kind === 'show-rules') {
    rules = message.rules;
    recipeChanged();
  } else if (message.kind === 'highlight-layers') {
    highlighted = new Set(message.layers);
    heatmap?.repaint(shownNow());
  }
}

function change(part: Partial<PageState>): void {
  state = { ...state, ...part };
  channel.saveState(state);
}

function render(): void {
  if (analysis === null) return;
  page.replaceChildren(...drawPage(analysis, recipeName).map((part) => toDom(document, part)));
  heatmap = createHeatmap({
    scroll: element('scroll'),
    canvas: element<HTMLCanvasElement>('canvas'),
    extent: element('extent'),
    active: element('active-cell'),
  });
  // Only here: its own event tells of a click after the page has been laid out anew.
  element<HTMLDetailsElement>('table-part').open = state.table;
  wireControls();
  wireHeatmap();
  redraw();
}

/** Bits that the recipe gives; those of the slider while they are shown. */
function inForce(): Map<string, number | null> {
  if (state.preview && budget !== null) return new Map(chosenBits(budget).bits);
  return new Map(rules?.layers.map(({ name, num_bits }) => [name, num_bits]));
}

function shownNow(): Shown {
  return { selected: new Set(state.selected), highlighted, inForce: inForce(), theme: themeNow(), palette: paletteNow() };
}

function redraw(): void {
  if (analysis === null || heatmap === null) return;
  view = heatView(analysis, state);
  if (view === null) return;
  showControls();
  heatmap.show(view, shownNow());
  element('scroll').setAttribute(
    'aria-label',
    `Heatmap of ${view.figure.name}: ${view.rows.length} rows by ${view.columns.length} columns`,
  );
  element('scroll').setAttribute('aria-rowcount', String(view.rows.length));
  element('scroll').setAttribute('aria-colcount', String(view.columns.length));
  element('scroll').setAttribute('aria-activedescendant', 'active-cell');
  showLegend(view);
  element('summary').textContent = view.layers.length === 0 ? 'No layer has such a name.' : summaryText(view);
  showActive(false);
  showChosen();
  showBudget();
  showTable();
}

function showControls(): void {
  const values: [string, string][] = [
    ['figure', view?.figure.key ?? ''],
    ['bits', String(state.bits === 'all' ? 'all' : analysis === null ? '' : bitsOf(analysis, state))],
    ['scale', state.scale],
    ['over', state.over],
    ['order', state.order],
    ['filter', state.filter],
  ];
  for (const [id, value] of values) if (element<HTMLInputElement>(id).value !== value) element<HTMLInputElement>(id).value = value;
  element<HTMLSelectElement>('bits').disabled = view?.figure.ofBits === false;
  element<HTMLInputElement>('regular-expression').checked = state.regularExpression;
  element<HTMLInputElement>('siblings').checked = state.siblings;
  element<HTMLInputElement>('preview').checked = state.preview;
  const error = filterError(state);
  element('filter-error').hidden = error === null;
  element('filter-error').textContent = error ?? '';
  element('filter').setAttribute('aria-invalid', String(error !== null));
}

function showLegend({ scale, figure }: HeatView): void {
  const width = Math.min(420, Math.max(240, page.clientWidth - 60));
  const legend =
    scale === null
      ? draw('span', { class: 'unit' }, `Each ${state.over} has its own scale: the strongest colour is its worst cell.`)
      : drawLegend(scale, themeNow(), (value) => valueText(figure, value).replace(/ %$/, ''), width);
  element('legend').replaceChildren(toDom(document, legend));
  element('unit').textContent = unitText(figure);
  element('marks').textContent = figure.ofBits
    ? state.bits === 'all'
      ? 'Underlined: the bits in force. Dashed: the rule at the cursor.'
      : 'Small number: bits in force where they are others. Dashed: the rule at the cursor.'
    : 'Dashed: the rule at the cursor.';
}

const activeCell = (): HeatCell | null =>
  view === null ? null : (view.at.get(state.active.row * view.columns.length + state.active.column) ?? view.cells[0] ?? null);

function showActive(scroll: boolean): void {
  const cell = activeCell();
  if (view === null || heatmap === null) return;
  const isSelected = cell !== null && state.selected.includes(cell.layer.name);
  const box = heatmap.activate(cell, cell === null ? '' : cellLabel(cell, view, rules), isSelected, scroll);
  if (scroll && cell !== null && box !== null) showTooltip(cell);
}

function showTooltip(cell: HeatCell | null): void {
  tooltip.hidden = cell === null || view === null;
  if (cell === null || view === null || heatmap === null) return;
  tooltip.replaceChildren(toDom(document, drawCellTooltip(cell, view, rules)));
  placeTooltip(tooltip, heatmap.boxOf(cell), { width: window.innerWidth, height: window.innerHeight });
}

function showChosen(): void {
  if (analysis === null) return;
  const known = new Set(analysis.layers.map(({ name }) => name));
  const chosen = new Set(state.selected.filter((name) => known.has(name)));
  const all = withSiblings(analysis.layers, chosen);
  const count = (n: number): string => `${n} layer${n === 1 ? '' : 's'}`;
  element('chosen').textContent =
    chosen.size === 0
      ? 'No layer chosen'
      : state.siblings && all.size > chosen.size
        ? `${count(chosen.size)} chosen, ${all.size} with siblings`
        : `${count(chosen.size)} chosen`;
  for (const id of ['raise', 'lower', 'keep', 'assign', 'clear']) element<HTMLButtonElement>(id).disabled = chosen.size === 0;
}

function select(names: readonly string[], tell = true): void {
  change({ selected: [...new Set(names)] });
  heatmap?.repaint(shownNow());
  showChosen();
  showActive(false);
  for (const box of document.querySelectorAll<HTMLInputElement>('[data-choose]')) {
    box.checked = state.selected.includes(box.dataset['choose'] ?? '');
    box.closest('tr')?.classList.toggle('selected', box.checked);
  }
  if (tell) element('status').textContent = element('chosen').textContent ?? '';
}

function recipeChanged(): void {
  const text = analysis === null || rules === null ? null : otherSchemes(analysis, rules);
  element('note').hidden = text === null;
  element('note').textContent = text ?? '';
  heatmap?.repaint(shownNow());
  showActive(false);
  showBudget();
  showTable();
}

function act(action: Action): void {
  if (analysis === null || view === null) return;
  const edits = editsOf(action, {
    layers: analysis.layers,
    bits: analysis.bits,
    selected: new Set(state.selected),
    siblings: state.siblings,
    inForce: new Map(rules?.layers.map(({ name, num_bits }) => [name, num_bits])),
    figure: view.figure,
    shownBits: bitsOf(analysis, state),
  });
  if (edits.length === 0) element('status').textContent = 'The chosen layers have that already.';
  else if (typeof action === 'object') channel.send({ kind: 'assign-scheme', layers: edits.flatMap(({ layers }) => layers) });
  else channel.send({ kind: 'edit-layers', edits });
}

function wireControls(): void {
  const on = (id: string, event: string, listener: () => void): void => element(id).addEventListener(event, listener);
  const choose = (part: Partial<PageState>): void => {
    change(part);
    redraw();
  };
  const value = (id: string): string => element<HTMLInputElement>(id).value;
  const checked = (id: string): boolean => element<HTMLInputElement>(id).checked;
  on('figure', 'change', () => choose({ figure: value('figure') }));
  on('bits', 'change', () => choose({ bits: value('bits') === 'all' ? 'all' : Number(value('bits')) }));
  on('scale', 'change', () => choose({ scale: value('scale') as PageState['scale'] }));
  on('over', 'change', () => choose({ over: value('over') as PageState['over'] }));
  on('order', 'change', () => choose({ order: value('order') as PageState['order'] }));
  on('filter', 'input', () => choose({ filter: value('filter') }));
  on('regular-expression', 'change', () => choose({ regularExpression: checked('regular-expression') }));
  on('siblings', 'change', () => {
    change({ siblings: checked('siblings') });
    showChosen();
  });
  on(
    'choose-worst',
    'click',
    () => view && select(worstCells(view, Math.max(1, Number(value('worst-count')) || 1)).map(({ layer }) => layer.name)),
  );
  on('choose-all', 'click', () => view && select(view.layers.map(({ name }) => name)));
  on('clear', 'click', () => select([]));
  on('raise', 'click', () => act('raise'));
  on('lower', 'click', () => act('lower'));
  on('keep', 'click', () => act('keep'));
  on('assign', 'click', () => act({ scheme: '' }));
  on('budget', 'input', () => {
    change({ budget: Number(value('budget')) });
    showBudget();
    if (state.preview) heatmap?.repaint(shownNow());
  });
  on('loss', 'change', () => {
    change({ loss: value('loss') as LossMetric });
    budget = null;
    showBudget();
    heatmap?.repaint(shownNow());
  });
  on('preview', 'change', () => {
    change({ preview: checked('preview') });
    heatmap?.repaint(shownNow());
  });
  on('apply', 'click', () => budget && channel.send({ kind: 'apply-bits', bits: Object.fromEntries(chosenBits(budget).bits) }));
  on('table-part', 'toggle', () => {
    change({ table: element<HTMLDetailsElement>('table-part').open });
    showTable();
  });
  element('table').addEventListener('change', ({ target }) => {
    const name = target instanceof HTMLInputElement ? target.dataset['choose'] : undefined;
    if (name !== undefined) toggle(name);
  });
  element('table').addEventListener('click', ({ target }) => {
    const name = target instanceof HTMLElement ? target.dataset['reveal'] : undefined;
    if (name !== undefined) channel.send({ kind: 'reveal-rule', layer: name });
  });
  on(
    'export-csv',
    'click',
    () => analysis && channel.send({ kind: 'save-file', name: 'sensitivity.csv', content: analysisCsv(analysis, rules), encoding: 'utf8' }),
  );
  on('export-svg', 'click', () => channel.send({ kind: 'save-file', name: 'sensitivity.svg', content: pictureSvg(), encoding: 'utf8' }));
  on('export-png', 'click', () => {
    if (view === null) return;
    const content = wholePicture(view, shownNow(), 1000, getComputedStyle(document.body).fontFamily);
    channel.send({ kind: 'save-file', name: 'sensitivity.png', content, encoding: 'base64' });
  });
}

function pictureSvg(): string {
  if (view === null) return '';
  const { layout, marks } = wholeMarks(view, shownNow(), 1000);
  return `${toMarkup(drawMarks(marks, layout, summaryText(view), paletteNow().background))}\n`;
}

const toggle = (name: string): void =>
  select(state.selected.includes(name) ? state.selected.filter((other) => other !== name) : [...state.selected, name]);

function wireHeatmap(): void {
  const scroll = element('scroll');
  scroll.addEventListener('mousemove', (event) => showTooltip(heatmap?.cellAt(event) ?? null));
  scroll.addEventListener('mouseleave', () => showTooltip(null));
  scroll.addEventListener('blur', () => showTooltip(null));
  scroll.addEventListener('scroll', () => showTooltip(null), { passive: true });
  scroll.addEventListener('click', (event) => {
    const cell = heatmap?.cellAt(event) ?? null;
    if (cell === null || view === null) return;
    const { row, column } = cell;
    change({ active: { row, column } });
    if (event.shiftKey && anchor !== null)
      select([...(event.ctrlKey || event.metaKey ? state.selected : []), ...rectangle(view, anchor, cell)]);
    else {
      anchor = { row, column };
      if (event.ctrlKey || event.metaKey) toggle(cell.layer.name);
      else select([cell.layer.name]);
    }
  });
  scroll.addEventListener('dblclick', (event) => {
    const cell = heatmap?.cellAt(event) ?? null;
    if (cell !== null) channel.send({ kind: 'reveal-rule', layer: cell.layer.name });
  });
  scroll.addEventListener('keydown', (event) => {
    const cell = activeCell();
    if (cell === null || view === null) return;
    const next = moveFrom(cell, event.key, view.cells);
    if (next !== null) {
      change({ active: { row: next.row, column: next.column } });
      if (event.shiftKey) {
        anchor ??= { row: cell.row, column: cell.column };
        select(rectangle(view, anchor, next));
      } else anchor = null;
      showActive(true);
    } else if (event.key === ' ') {
      anchor = { row: cell.row, column: cell.column };
      toggle(cell.layer.name);
    } else if (event.key === 'Enter') channel.send({ kind: 'reveal-rule', layer: cell.layer.name });
    else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) select(view.layers.map(({ name }) => name));
    else if (event.key === 'Escape') select([]);
    else return;
    event.preventDefault();
  });
}

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') showTooltip(null);
});

const chosenBits = (solved: Budget): ReturnType<Budget['at']> => solved.at(state.budget ?? (solved.least + solved.most) / 2);

/** The curve of a large model takes a moment: the heatmap is on the screen before. */
let solving = 0;

function solveSoon(): void {
  clearTimeout(solving);
  element('budget-text').textContent = 'Solving …';
  solving = window.setTimeout(() => {
    if (analysis === null) return;
    try {
      budget = budgetOf(analysis, state.loss ?? bestMetric(analysis));
    } catch (error) {
      if (!(error instanceof AllocationError)) throw error;
      element('budget-text').textContent = `There is no such choice: ${error.message}.`;
      return;
    }
    showBudget();
    if (state.preview) heatmap?.repaint(shownNow());
  }, 50);
}

function showBudget(): void {
  if (analysis === null) return;
  const metric = state.loss ?? bestMetric(analysis);
  if (budget === null) return solveSoon();
  element<HTMLSelectElement>('loss').value = metric;
  const slider = element<HTMLInputElement>('budget');
  // Whole hundredths, the smallest choice among them.
  slider.min = (Math.floor(budget.least * 100) / 100).toFixed(2);
  slider.max = (Math.ceil(budget.most * 100) / 100).toFixed(2);
  const chosen = chosenBits(budget);
  const wanted = Math.min(Math.max(state.budget ?? chosen.bitsPerWeight, Number(slider.min)), Number(slider.max));
  slider.value = wanted.toFixed(2);
  element('budget-value').textContent = wanted.toFixed(2);
  const present = budget.of(new Map(rules?.layers.map(({ name, num_bits }) => [name, num_bits])));
  const width = Math.max(240, element('curve').clientWidth);
  element('curve').replaceChildren(toDom(document, drawCurve(budget, chosen, present, { width, height: width < 500 ? 190 : 230 })));
  const counts = analysis.bits.map((bit) => [bit, [...chosen.bits.values()].filter((bits) => bits === bit).length] as const);
  const parts = counts.filter(([, count]) => count > 0).map(([bit, count]) => `${count} × ${bit}`);
  element('budget-text').textContent =
    `${chosen.bitsPerWeight.toFixed(3)} bits per weight, ${bytesText(chosen.bytes)}; predicted loss ${trim(chosen.loss)} (${lossText(metric)}). Layers × bits: ${parts.join(', ')}.` +
    (present === null ? '' : ` The recipe now: ${present.bitsPerWeight.toFixed(3)} bits per weight, predicted loss ${trim(present.loss)}.`);
  slider.setAttribute('aria-valuetext', `${wanted.toFixed(2)} bits per weight, predicted loss ${trim(chosen.loss)}`);
}

function showTable(): void {
  if (analysis === null || view === null) return;
  const focused = document.activeElement instanceof HTMLElement ? { ...document.activeElement.dataset } : {};
  // Thousands of rows are made only for who looks at them.
  element('table').replaceChildren(
    ...(state.table ? [toDom(document, drawLayerTable(analysis, view, rules, new Set(state.selected)))] : []),
  );
  for (const key of ['choose', 'reveal'])
    if (focused[key] !== undefined) document.querySelector<HTMLElement>(`[data-${key}="${CSS.escape(focused[key])}"]`)?.focus();
}
