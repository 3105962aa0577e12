// The sensitivity page: holds what the user has chosen, draws it, and asks the host for edits of the recipe.
import './sensitivity.css';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import type { LayerRulesResult } from '../../../schemas/src/protocol/client-server.js';
import { readToWebview, type FromWebview, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import type { LossMetric } from '../../../schemas/src/suggest-bits.js';
import { openChannel } from '../channel.js';
import { keepPlaces } from '../kept-places.js';
import { element, fill, page, toDoms } from '../page-parts.js';
import { createTooltip } from '../page-tooltip.js';
import { drawLegend } from '../plot/cells.js';
import { draw, toMarkup } from '../plot/element.js';
import { drawMarks } from '../plot/marks.js';
import { paletteNow, themeNow } from '../theme.js';
import { createBudgetPanel } from './budget-panel.js';
import { isChecked, on, showControls, valueOf, wireControls } from './controls.js';
import { unitText, valueText } from './figures.js';
import { createHeatmap, wholePicture, type Heatmap } from './heatmap.js';
import { wireHeatmap } from './heatmap-input.js';
import { analysisCsv, cellLabel, drawCellTooltip, drawLayerTable, otherSchemes, summaryText } from './layer-text.js';
import { drawPage } from './page.js';
import { wholeMarks, type Shown } from './picture.js';
import { editsOf, withSiblings, worstCells, type Action } from './selection.js';
import { restored, type PageState } from './state.js';
import { bitsOf, heatView, type HeatCell, type HeatView } from './view.js';

let analysis: SensitivityAnalysis | null = null;
let recipeName = '';
let rules: LayerRulesResult | null = null;
let highlighted: ReadonlySet<string> = new Set();
let view: HeatView | null = null;
let heatmap: Heatmap | null = null;

const channel = openChannel<ToWebview, FromWebview>(readToWebview, receive);
let state: PageState = restored(channel.loadState());
const places = keepPlaces(page, state.places, (kept) => change({ places: kept }));
const tooltip = createTooltip();
const budget = createBudgetPanel({
  analysis: () => analysis,
  choice: () => state,
  recipeBits,
  onSolved: () => {
    if (state.preview) heatmap?.repaint(shownNow());
  },
});
new ResizeObserver(() => redraw()).observe(page);
new MutationObserver(() => redraw()).observe(document.body, { attributes: true, attributeFilter: ['class'] });
channel.send({ kind: 'ready' });

function receive(message: ToWebview): void {
  if (message.kind === 'show-analysis') {
    ({ analysis, recipeName } = message);
    change({ saved: message.saved });
    budget.forget();
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
  page.replaceChildren(...toDoms(drawPage(analysis, recipeName)));
  heatmap = createHeatmap({
    scroll: element('scroll'),
    canvas: element<HTMLCanvasElement>('canvas'),
    extent: element('extent'),
    active: element('active-cell'),
  });
  // Only here: its own event tells of a click after the page has been laid out anew.
  element<HTMLDetailsElement>('table-part').open = state.table;
  wireControls(choose);
  wireActions();
  wireHeatmap(element('scroll'), heatmapInput);
  redraw();
}

/** Bits that the recipe gives; those of the slider while they are shown. */
function inForce(): Map<string, number | null> {
  return (state.preview ? budget.chosenBits() : null) ?? recipeBits();
}

function recipeBits(): Map<string, number | null> {
  return new Map(rules?.layers.map(({ name, num_bits }) => [name, num_bits]));
}

function shownNow(): Shown {
  return { selected: new Set(state.selected), highlighted, inForce: inForce(), theme: themeNow(), palette: paletteNow() };
}

function redraw(): void {
  if (analysis === null || heatmap === null) return;
  view = heatView(analysis, state);
  if (view === null) return;
  showControls(state, analysis, view);
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
  budget.show();
  showTable();
}

function showLegend({ scale, figure }: HeatView): void {
  const width = Math.min(420, Math.max(240, page.clientWidth - 60));
  const legend =
    scale === null
      ? draw('span', { class: 'unit' }, `Each ${state.over} has its own scale: the strongest colour is its worst cell.`)
      : drawLegend(scale, themeNow(), (value) => valueText(figure, value).replace(/ %$/, ''), width);
  fill('legend', legend);
  element('unit').textContent = unitText(figure);
  element('definition').textContent = `${figure.name}: ${figure.definition} (unit: ${figure.unit}; source: ${figure.source}).`;
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
  if (cell === null || view === null || heatmap === null) tooltip.hide();
  else tooltip.show(drawCellTooltip(cell, view, rules), heatmap.boxOf(cell));
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

function select(names: readonly string[]): void {
  change({ selected: [...new Set(names)] });
  heatmap?.repaint(shownNow());
  showChosen();
  showActive(false);
  for (const box of document.querySelectorAll<HTMLInputElement>('[data-choose]')) {
    box.checked = state.selected.includes(box.dataset['choose'] ?? '');
    box.closest('tr')?.classList.toggle('selected', box.checked);
  }
  element('status').textContent = element('chosen').textContent ?? '';
}

function recipeChanged(): void {
  const text = analysis === null || rules === null ? null : otherSchemes(analysis, rules);
  element('note').hidden = text === null;
  element('note').textContent = text ?? '';
  heatmap?.repaint(shownNow());
  showActive(false);
  budget.show();
  showTable();
}

function act(action: Action): void {
  if (analysis === null || view === null) return;
  const edits = editsOf(action, {
    layers: analysis.layers,
    bits: analysis.bits,
    selected: new Set(state.selected),
    siblings: state.siblings,
    inForce: recipeBits(),
    figure: view.figure,
    shownBits: bitsOf(analysis, state),
  });
  if (edits.length === 0) element('status').textContent = 'The chosen layers have that already.';
  else if (typeof action === 'object') channel.send({ kind: 'assign-scheme', layers: edits.flatMap(({ layers }) => layers) });
  else channel.send({ kind: 'edit-layers', edits });
}

function choose(part: Partial<PageState>): void {
  change(part);
  redraw();
}

function wireActions(): void {
  on('siblings', 'change', () => {
    change({ siblings: isChecked('siblings') });
    showChosen();
  });
  on(
    'choose-worst',
    'click',
    () => view && select(worstCells(view, Math.max(1, Number(valueOf('worst-count')) || 1)).map(({ layer }) => layer.name)),
  );
  on('choose-all', 'click', () => view && select(view.layers.map(({ name }) => name)));
  on('clear', 'click', () => select([]));
  on('raise', 'click', () => act('raise'));
  on('lower', 'click', () => act('lower'));
  on('keep', 'click', () => act('keep'));
  on('assign', 'click', () => act({ scheme: '' }));
  on('budget', 'input', () => {
    change({ budget: Number(valueOf('budget')) });
    budget.show();
    if (state.preview) heatmap?.repaint(shownNow());
  });
  on('loss', 'change', () => {
    change({ loss: valueOf('loss') as LossMetric });
    budget.forget();
    budget.show();
    heatmap?.repaint(shownNow());
  });
  on('preview', 'change', () => {
    change({ preview: isChecked('preview') });
    heatmap?.repaint(shownNow());
  });
  on('apply', 'click', () => {
    const bits = budget.chosenBits();
    if (bits !== null) channel.send({ kind: 'apply-bits', bits: Object.fromEntries(bits) });
  });
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
    if (name !== undefined) reveal(name);
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

const reveal = (layer: string): void => channel.send({ kind: 'reveal-rule', layer });

const heatmapInput = {
  view: () => view,
  cellAt: (event: MouseEvent) => heatmap?.cellAt(event) ?? null,
  active: activeCell,
  activate: (active: PageState['active']) => change({ active }),
  showActive: () => showActive(true),
  point: showTooltip,
  selected: () => state.selected,
  select,
  toggle,
  reveal,
};

function showTable(): void {
  if (analysis === null || view === null) return;
  const focused = document.activeElement instanceof HTMLElement ? { ...document.activeElement.dataset } : {};
  // Thousands of rows are made only for who looks at them.
  fill('table', ...(state.table ? [drawLayerTable(analysis, view, rules, new Set(state.selected))] : []));
  for (const key of ['choose', 'reveal'])
    if (focused[key] !== undefined) document.querySelector<HTMLElement>(`[data-${key}="${CSS.escape(focused[key])}"]`)?.focus();
}
